"""write a trained run as ONNX, for machines without torch: the graph and what a predictor needs beside it"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Writes an export folder and says how to forecast with it."""
    from forecast import ensemble
    from forecast.error import Refusal
    from forecast.fitted import Fitted
    from forecast.serving.export import export

    run = config["run"]
    if not isinstance(run, str):
        raise Refusal("which run? Name the folder of one: forecast export run=outputs/...", "config")
    if config["format"] != "onnx":
        raise Refusal(f"format={config['format']}: expected onnx", "config")
    if (Path(run) / ensemble.DOCUMENT).is_file():
        raise Refusal(f"{run} is an ensemble: export the runs that it is made of, and combine their tables", "export")
    out = Path(config["folder"] or Path(run) / "export")
    off = export(Fitted.load(Path(run)), out)
    print(
        f"forecasts equal torch's to {off:.1e} standard deviations\n\n"
        f"python -m forecast.serving.onnx {out} rows.csv forecast.csv\nexport: {out}"
    )
