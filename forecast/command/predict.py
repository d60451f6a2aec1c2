"""forecast the real future with a trained run, from the last row on"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Writes forecast.csv, forecast.png and paths.csv, if wanted, into a folder of the run; prints the first rows."""
    from forecast import artifact
    from forecast.board import figure
    from forecast.error import Refusal
    from forecast.forecaster import Forecaster
    from forecast.sweep.folder import claimed, stamp

    if config["run"] is None:
        raise Refusal("which run? Name its folder: forecast predict run=outputs/...", "config")
    forecaster = Forecaster.load(config["run"])
    path = config["data"]["path"] or forecaster.fitted.config["data"]["path"]
    table = forecaster.predict(path, levels=config["levels"])
    paths = None if config["paths"] is None else forecaster.paths(path, n=config["paths"])
    with claimed(Path(config["folder"] or Path(config["run"]) / "predict" / stamp()), folder) as out:
        artifact.write(out / "forecast.csv", table.to_csv(index=False))
        if paths is not None:
            artifact.write(out / "paths.csv", paths.to_csv(index=False))
        artifact.write(out / "forecast.png", figure.png(figure.fan(table, f"{forecaster.name}: the future")))
    print(f"{table.head(24).to_string(index=False)}\n{len(table)} rows in {out / 'forecast.csv'}\nrun: {config['run']}")
