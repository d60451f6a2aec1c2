"""forecast from rolling origins over the test part with a trained run, and score it"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

FOLDS = "folds"  # in the folder of a backtest


def main(config: dict[str, Any], folder: Path | None) -> float:
    """Writes forecast.csv, scores.csv, forecast.png, errors.png and calibration.png into a folder of the run.

    With `refit.every` it writes the folds as they are done, and goes on with them in a folder that has some. Returns
    the MAE.
    """
    from forecast import artifact
    from forecast.board import figure, sheet
    from forecast.board.summary import summary
    from forecast.error import Refusal
    from forecast.fold import Refit
    from forecast.forecaster import Forecaster
    from forecast.sweep.folder import claimed, stamp

    if config["run"] is None:
        raise Refusal("which run? Name its folder: forecast backtest run=outputs/...", "config")
    forecaster = Forecaster.load(config["run"])
    path = config["data"]["path"] or forecaster.fitted.config["data"]["path"]
    wanted = Path(config["folder"] or Path(config["run"]) / "backtest" / stamp())
    refit = None if config["refit"]["every"] is None else Refit(**config["refit"])
    going_on = nullcontext(wanted) if refit and (wanted / FOLDS).is_dir() else claimed(wanted, folder)
    with going_on as out:
        options = {"stride": config["stride"], "baselines": config["baselines"]}
        judged = forecaster.judge(path, **options, refit=refit, folder=out / FOLDS)
        name, table = next(iter(judged.forecasts.items()))
        artifact.write(out / "forecast.csv", table.to_csv(index=False))
        artifact.write(out / "scores.csv", judged.scores.to_csv(index=False))
        for file, drawn in sheet.sheets(judged.forecasts, f"{name}: backtest").items():
            artifact.write(out / f"{file}.png", figure.png(drawn))
    print(f"{summary(judged.scores)}\n{len(table)} rows in {out / 'forecast.csv'}\nrun: {config['run']}")
    return float(judged.scores["value"].iloc[0])
