"""forecast from rolling origins over the test part with a trained run or an ensemble, and score it"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> float:
    """Writes forecast.csv, scores.csv and forecast.png into a folder of the run; returns the MAE."""
    from forecast import artifact
    from forecast.board import figure
    from forecast.board.summary import summary
    from forecast.ensemble import opened
    from forecast.sweep.folder import claimed, stamp

    forecaster, source, home = opened(config["run"], config["ensemble"], "backtest")
    path = config["data"]["path"] or source
    judged = forecaster.judge(path, stride=config["stride"])
    table = judged.forecasts[forecaster.name]
    with claimed(Path(config["folder"] or home / stamp()), folder) as out:
        artifact.write(out / "forecast.csv", table.to_csv(index=False))
        artifact.write(out / "scores.csv", judged.scores.to_csv(index=False))
        artifact.write(out / "forecast.png", figure.png(figure.fan(table, f"{forecaster.name}: backtest")))
    print(f"{summary(judged.scores)}\n{len(table)} rows in {out / 'forecast.csv'}\nrun: {home.parent}")
    return float(judged.scores["value"].iloc[0])
