"""forecast from rolling origins over the test part with a trained run or an ensemble, and score it"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

FOLDS = "folds"  # in the folder of a backtest


def main(config: dict[str, Any], folder: Path | None) -> float:
    """Writes forecast.csv, scores.csv, forecast.png, errors.png and calibration.png into a folder of the run.

    With `refit.every` it writes the folds as they are done, and goes on with them in a folder that has some. Returns
    the MAE.
    """
    from forecast import atomic
    from forecast.board import figure, sheet
    from forecast.board.summary import summary
    from forecast.ensemble import opened
    from forecast.error import Refusal
    from forecast.fold import Refit
    from forecast.sweep.folder import claimed, stamp

    refit = None if config["refit"]["every"] is None else Refit(**config["refit"])
    if refit is None and Refit(**{**config["refit"], "every": 1}) != Refit():
        raise Refusal("refit.every is null, so that other keys of refit change nothing: add refit.every=1", "config")
    forecaster, source, home = opened(config["run"], config["ensemble"], "backtest")
    path = config["data"]["path"] or source
    wanted = Path(config["folder"] or home / stamp())
    going_on = nullcontext(wanted) if refit and (wanted / FOLDS).is_dir() else claimed(wanted, folder)
    with going_on as out:
        options = {"stride": config["stride"], "baselines": config["baselines"]}
        judged = forecaster.judge(path, **options, refit=refit, folder=out / FOLDS)
        name, table = next(iter(judged.forecasts.items()))
        atomic.write(out / "forecast.csv", table.to_csv(index=False))
        atomic.write(out / "scores.csv", judged.scores.to_csv(index=False))
        for file, drawn in sheet.sheets(judged.forecasts, f"{name}: backtest").items():
            atomic.write(out / f"{file}.png", figure.png(drawn))
    print(f"{summary(judged.scores)}\n{len(table)} rows in {out / 'forecast.csv'}")
    if config["folder"] is None:
        print(f"run: {home.parent}")
    return float(judged.scores["value"].iloc[0])
