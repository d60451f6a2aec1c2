"""forecast the real future with a trained run or an ensemble, from the last row on"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Writes forecast.csv, forecast.png and paths.csv, if wanted, into a folder of the run; prints the first rows."""
    from forecast import atomic
    from forecast.board import figure, summary
    from forecast.ensemble import Ensemble, opened
    from forecast.error import Refusal
    from forecast.sweep.folder import claimed, stamp

    forecaster, source, home = opened(config["run"], config["ensemble"], "predict")
    path = config["data"]["path"] or source
    table = forecaster.predict(path, levels=config["levels"])
    paths = None
    if config["paths"] is not None:
        if isinstance(forecaster, Ensemble):
            raise Refusal("paths are drawn from one run's forecast, not from an ensemble's: name one run", "config")
        paths = forecaster.paths(path, n=config["paths"])
    with claimed(Path(config["folder"] or home / stamp()), folder) as out:
        atomic.write(out / "forecast.csv", table.to_csv(index=False))
        if paths is not None:
            atomic.write(out / "paths.csv", paths.to_csv(index=False))
        atomic.write(out / "forecast.png", figure.png(figure.fan(table, f"{forecaster.name}: the future")))
    print(f"{summary.ahead(table, 24)}\n{len(table)} rows in {out / 'forecast.csv'}")
    if config["folder"] is None:
        print(f"run: {home.parent}")
