"""fit a model, judge it beside seasonal naive on the test part, save it"""

import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> float:
    """Writes a run folder and returns the validation score, by which sweeps rank: MAE in scaled units, of classes NLL.

    `folder` is the one that a sweep made for this job; alone, a run claims its own. A run that was interrupted goes on
    in its folder, and one that is finished stays as it is. Of several processes that torchrun or SLURM started all
    train, and the first writes.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from forecast import artifact, atomic, build, device
    from forecast.continuation import CONFIG, MANIFEST, continued, finished, resumable, told
    from forecast.forecaster import Forecaster
    from forecast.model.base import memory
    from forecast.recipe import attention
    from forecast.signals import interruptible
    from forecast.sweep.folder import claimed, logged, stamp

    started = perf_counter()
    config, typed, home = continued(config, HydraConfig.get().overrides.task, folder)
    data = config["data"]["name"] or Path(config["data"]["path"] or "data").name.split(".")[0]
    build.check(config)
    if device.rank(device.able(config)):
        if home is not None and (score := finished(home)) is not None:
            return score
        logging.getLogger("forecast").setLevel(logging.ERROR)
        with interruptible(), TemporaryDirectory() as scratch:
            learnt = Forecaster.of(config).fit(folder=home or scratch, resume=home is not None)
        return learnt.fitted.record["val/loss"]
    wanted = Path(config["folder"] or Path("outputs") / data / build.title(config) / stamp())
    place = claimed(wanted, folder) if home is None else nullcontext(home)
    with interruptible(), place as run, logged(run / "train.log"), resumable(run):
        if (score := finished(run)) is not None:
            print(f"this run is finished: nothing is left to do\nrun: {run}")
            return score
        text = f"{told(typed)}\n{OmegaConf.to_yaml(OmegaConf.create(config))}"
        atomic.write(run / CONFIG, text)
        forecaster = Forecaster.of(config).fit(folder=run, resume=home is not None)
        from forecast.board import figure, sheet, tensorboard  # after training, which should begin soon
        from forecast.board.summary import summary

        judged = forecaster.judge()
        record, name = forecaster.fitted.record, forecaster.name
        ranked = "val/loss" if forecaster.fitted.model.head.classes else "val/mae"  # classes have no distance
        own = judged.scores[judged.scores["model"] == name].set_index("metric")["value"].to_dict()
        replace(forecaster.fitted, record={**record, "scores": own}).save(run / "forecaster")
        atomic.write(run / "forecast.csv", judged.forecasts[name].to_csv(index=False))
        atomic.write(run / "scores.csv", judged.scores.to_csv(index=False))
        title = f"{data}: {name}, test part"
        for file, drawn in sheet.sheets(judged.forecasts, title).items():
            atomic.write(run / f"{file}.png", figure.png(drawn))
        final = {f"test/{metric}": value for metric, value in own.items()}
        final |= {f"score/{key}": record[key] for key in ("val/loss", "val/mae", "val/mse")}
        if config["logger"]["name"] == "tensorboard":
            texts = {"data": tensorboard.listed(record["data"]), "config": tensorboard.quoted(text)}
            weights = attention(forecaster.fitted.model, forecaster.origins(forecaster.panel(None), None))
            figures = sheet.singles(judged.forecasts, title, weights)
            curves = sheet.curves(judged.forecasts)
            tensorboard.conclude(tensorboard.logger(run), config, final, texts, figures, curves, record["steps"])
        manifest = {
            "overrides": dict(x.lstrip("+").split("=", 1) for x in typed if "=" in x),
            "seed": config["seed"],
            "score": {"name": ranked, "value": record[ranked]},
            "scores": own,
            "record": {key: x for key, x in record.items() if key != "made"},
            "cost": {
                "seconds": round(perf_counter() - started, 2),
                **{f"peak_{what}": round(most) for what, most in memory().items()},
            },
            **record["made"],
        }
        atomic.write(run / MANIFEST, artifact.plain(manifest))
    print(f"\n{summary(judged.scores)}\n\ntensorboard --logdir outputs\nrun: {run}")
    return record[ranked]
