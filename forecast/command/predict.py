"""forecast the real future with a trained run or an ensemble, from the last row on"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Writes forecast.csv and forecast.png into a folder of the run and prints the first rows."""
    from forecast import artifact
    from forecast.board import figure
    from forecast.ensemble import opened
    from forecast.sweep.folder import claimed, stamp

    forecaster, source, home = opened(config["run"], config["ensemble"], "predict")
    path = config["data"]["path"] or source
    table = forecaster.predict(path, levels=config["levels"])
    with claimed(Path(config["folder"] or home / stamp()), folder) as out:
        artifact.write(out / "forecast.csv", table.to_csv(index=False))
        artifact.write(out / "forecast.png", figure.png(figure.fan(table, f"{forecaster.name}: the future")))
    print(f"{table.head(24).to_string(index=False)}\n{len(table)} rows in {out / 'forecast.csv'}\nrun: {home.parent}")
