"""forecast from rolling origins over the test part with a trained run, and score it"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> float:
    """Writes forecast.csv, scores.csv, forecast.png, errors.png and calibration.png into a folder of the run.

    Returns the MAE.
    """
    from forecast import artifact
    from forecast.board import figure, sheet
    from forecast.board.summary import summary
    from forecast.error import Refusal
    from forecast.forecaster import Forecaster
    from forecast.sweep.folder import claimed, stamp

    if config["run"] is None:
        raise Refusal("which run? Name its folder: forecast backtest run=outputs/...", "config")
    forecaster = Forecaster.load(config["run"])
    path = config["data"]["path"] or forecaster.fitted.config["data"]["path"]
    judged = forecaster.judge(path, stride=config["stride"])
    table = judged.forecasts[forecaster.name]
    with claimed(Path(config["folder"] or Path(config["run"]) / "backtest" / stamp()), folder) as out:
        artifact.write(out / "forecast.csv", table.to_csv(index=False))
        artifact.write(out / "scores.csv", judged.scores.to_csv(index=False))
        for file, drawn in sheet.sheets(judged.forecasts, f"{forecaster.name}: backtest").items():
            artifact.write(out / f"{file}.png", figure.png(drawn))
    print(f"{summary(judged.scores)}\n{len(table)} rows in {out / 'forecast.csv'}\nrun: {config['run']}")
    return float(judged.scores["value"].iloc[0])
