"""A graph that ONNX Runtime runs: batches in by name, point and spread out. No torch, no pandas."""

from collections.abc import Mapping
from typing import Any

import numpy as np


class Session:
    def __init__(self, content: bytes, threads: int = 0):
        """`threads` 0 means as many as ONNX Runtime likes."""
        import onnxruntime  # type: ignore[import-not-found]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.inputs = [x.name for x in self.session.get_inputs()]

    def __call__(self, batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Point [b horizon c] and spread [b horizon c q], in data units; the batch may have more than is looked at."""
        point, spread = self.session.run(None, {name: batch[name] for name in self.inputs})
        return point, spread
