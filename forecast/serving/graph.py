"""A model -> an ONNX graph of its whole forecast, in data units: scaling, normalizers, decoding, quantiles, way back.

Written by torch's exporter of traces. The newer one, of torch.export, was tried: it needs some milliseconds for each
operator and pass, minutes for a loop over a context of 168 steps, where this one needs seconds. What a trace can't
hold, a decision that hangs on values, is refused; what it got wrong would be found by `error`.
"""

import copy
import io
import warnings
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from forecast import check
from forecast.contract import Batch
from forecast.error import Refusal
from forecast.model.base import Model
from forecast.serving.session import Session

OPSET = 18
HIDDEN = ("target", "target_observed", "cutoff", "weight")  # of a batch: what no forecast may look at
CLOSE = 1e-5  # standard deviations of y that a graph's forecasts may lie off
WINDOWS = 127  # in the batch that is traced: a prime, so that sizes with the batch in them are told from all others


class Plain(TorchFunctionMode):
    """Makes what ONNX Runtime lacks, or has for float32 alone, of operators that it has."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made: Any = PLAIN.get(func, func)
        return made(*args, **(kwargs or {}))


class Extreme(NamedTuple):
    """What `Tensor.cummax` gives, but for the places, which nobody asks for."""

    values: Tensor


def asinh(x: Tensor) -> Tensor:
    return x.sign() * (x.abs() + (x * x + 1).sqrt()).log()


def sinh(x: Tensor) -> Tensor:
    return (x.exp() - (-x).exp()) / 2


def expm1(x: Tensor) -> Tensor:
    return x.exp() - 1


def cummax(x: Tensor, dim: int) -> Extreme:
    return Extreme(torch.stack(list(accumulate(x.unbind(dim), torch.maximum)), dim) if x.shape[dim] else x)


def single(kernel: Callable[..., Any]) -> Callable[..., Tensor]:
    """One step by the operator of sequences."""

    def step(x: Tensor, state: Tensor, *weights: Tensor) -> Tensor:
        return kernel(x[:, None], state[None], weights, True, 1, 0.0, False, False, True)[0][:, 0]

    return step


def transposed(x: Tensor) -> Tensor:
    return x.transpose(-2, -1)


def unflattened(x: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """Of a tensor without columns a new one: a shape with a 0 in it means something else in ONNX."""
    found = x.unflatten(dim, sizes)
    return found if found.numel() else torch.zeros(x.shape[0], *map(int, found.shape[1:]), dtype=x.dtype)


def told(reduce: Any) -> Callable[..., Tensor]:
    """`any` or `all`; of a whole tensor it decides when a search is over, which a graph can't know."""

    def reduced(x: Tensor, *axes: Any, **named: Any) -> Tensor:
        if axes or named:
            return reduce(x, *axes, **named)
        raise Refusal(
            "the quantiles of this head are found by a search, whose end a graph can't know: train with head=quantile, "
            "normal, lognormal or student, or keep to forecast predict",
            "export",
        )

    return reduced


PLAIN: dict[Any, Callable[..., Any]] = {
    torch.asinh: asinh, Tensor.asinh: asinh, torch.sinh: sinh, Tensor.sinh: sinh,
    torch.expm1: expm1, Tensor.expm1: expm1, Tensor.cummax: cummax,
    torch.gru_cell: single(torch.gru), torch.rnn_tanh_cell: single(torch.rnn_tanh),
    torch.rnn_relu_cell: single(torch.rnn_relu),
    Tensor.mT.__get__: transposed, Tensor.unflatten: unflattened,  # type: ignore[attr-defined]
    Tensor.any: told(Tensor.any), Tensor.all: told(Tensor.all),
}  # fmt: skip


def graph(model: Model) -> bytes:
    """The ONNX graph of `outputs` for any number b of windows.

    Inputs are the tensors of a Batch, by their names, that the model looks at; outputs are `point` [b horizon c] and
    `spread` [b horizon c q], float64 in data units. Raises Refusal for a model that can't be written so.
    """
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    batch = windows(model, WINDOWS)
    given = {name: x for name, x in batch._asdict().items() if name not in HIDDEN and x[:1].numel()}
    absent = {name: x for name, x in batch._asdict().items() if name not in HIDDEN and name not in given}

    def call(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        found, b = dict(zip(given, tensors, strict=True)), tensors[0].shape[0]
        found |= {name: torch.zeros(b, *x.shape[1:], dtype=x.dtype) for name, x in absent.items()}
        hidden = {name: torch.zeros_like(getattr(batch, name)) for name in HIDDEN}
        return outputs(model, Batch(**found, **hidden))

    buffer: Any = io.BytesIO()
    names = [*given, "point", "spread"]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer about sizes, and that the exporter is not the newest
        call(*given.values())  # what is computed once and kept is a constant then
        with Plain():
            traced: Any = torch.jit.trace(call, tuple(given.values()), check_trace=False)
        loosen(traced.graph)
        try:
            torch.onnx.export(
                traced, tuple(given.values()), buffer, dynamo=False, opset_version=OPSET, input_names=names[:-2],
                output_names=names[-2:], dynamic_axes={name: {0: "b"} for name in names},
            )  # fmt: skip
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as fault:
            why = str(fault).split("\n")[0]
            raise Refusal(f"this model can't be written as ONNX ({why}); keep to forecast predict", "export") from fault
    return buffer.getvalue()


def faithful(model: Model) -> tuple[bytes, float]:
    """The graph of a model and how far its forecasts lie off, see `error`; refused if that is more than CLOSE."""
    try:
        import onnx  # type: ignore[import-not-found]  # noqa: F401
        import onnxruntime  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        raise Refusal("ONNX needs pip install 'forecast[export]'", "extra") from None
    content = graph(model)
    off = error(model, content)
    if not off <= CLOSE:
        raise Refusal(
            f"the graph's forecasts lie {off:.1e} standard deviations off the model's, more than {CLOSE:g}: something "
            "in this model depends on values in a way that a graph can't hold; keep to forecast predict",
            "export",
        )
    return content, off


def loosen(traced: Any) -> None:
    """Computes what is constant, and forgets the sizes that hang on the batch, which the exporter would write down."""
    torch._C._jit_pass_constant_propagation(traced)
    torch._C._jit_set_onnx_log_enabled(False)  # else it prints the whole graph when it fails
    for value in (x for node in traced.nodes() if node.kind() != "prim::Constant" for x in node.outputs()):
        sizes = value.type().sizes() if isinstance(value.type(), torch._C.TensorType) else None
        if sizes:
            value.setType(value.type().with_sizes([None if x and x % WINDOWS == 0 else x for x in sizes]))


def windows(model: Model, b: int, seed: int = 1) -> Batch:
    """Random windows as a model may meet them: around the middle of training, in its units."""
    batch = check.windows(model.shape, model.head.support, b, seed)
    if model.head.support != "real":
        return batch
    z = torch.randn(batch.y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return batch._replace(y=model.scaling.invert(z, batch.series))


def outputs(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """Point and quantiles at the head's levels; of classes the number of the most probable, and probabilities."""
    if not model.head.classes:
        return model.forecast(batch, model.head.levels)
    chances = model.head.probabilities(model(batch).params)
    return chances.argmax(-1).double(), chances


def error(model: Model, content: bytes) -> float:
    """How far a graph's forecasts lie off the model's at most, in standard deviations of y, in batches of some sizes.

    A forecast that is itself further from the middle of y than that, as an outer quantile may be, is a float32 number
    of that size: the distance is then its unit.
    """
    model = copy.deepcopy(model).cpu().eval()
    session, worst = Session(content), 0.0
    for b in (1, 3, 64):
        batch = windows(model, b, seed=b)
        with torch.inference_mode():
            wanted = [x.numpy() for x in outputs(model, batch)]
        found = session({name: getattr(batch, name).numpy() for name in session.inputs})
        for mine, theirs in zip(found, wanted, strict=True):
            middle, unit = (x.reshape(x.shape[:3] + (1,) * (mine.ndim - 3)) for x in middles(batch))
            off = np.abs(mine - theirs) / np.maximum(unit, np.abs(theirs - middle))
            worst = max(worst, float(np.max(off, initial=0.0)))
    return worst


def middles(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each window's y [b 1 c]."""
    y = batch.y.numpy()
    return y.mean(1, keepdims=True), y.std(1, keepdims=True)
