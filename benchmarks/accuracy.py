"""Trains the experiments of published benchmarks, three seeds each, and prints their scores beside published ones.

    FORECAST_DATA=<folder> python benchmarks/accuracy.py [experiment ...] [--jobs 2]

An experiment of conf/experiment is a sweep over its seeds and members: `forecast train -m experiment=<name>`. Members
of a seed are one forecast, their mean: `forecast backtest 'run=[...]'`. Runs lie in outputs/accuracy, where an
interrupted sweep goes on. Scores are kept in accuracy.csv; what is in it with the same settings is not run again.
Published numbers and their sources: published.csv. Where these are scaled errors (mse_scaled, mae_scaled), they are of
every window of the test part, each step and column, and so are ours, whatever the run's own origins are.
"""

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from forecast import Forecaster, config
from forecast.evaluation.baseline import BASELINES, TRAINED
from m4 import competition
from machine import processor

HERE = Path(__file__).resolve().parent
LEDGER, PUBLISHED = HERE / "accuracy.csv", HERE / "published.csv"
OUT = HERE.parent / "outputs" / "accuracy"
OWN = {"m4_hourly": competition}  # experiments with scores of their own
NEAR = 0.02  # so far may a coverage be from what it should be
KEPT = ["mae", "rmse", "mae_scaled", "mse_scaled", "smape", "mase", "owa", "rmae", "wql", "coverage_80"]


def settings(name: str) -> str:
    """Says whether an experiment is still the one that was run, members included."""
    with initialize_config_dir(str(config.CONF), version_base=None):
        whole = compose("train", [f"experiment={name}"], return_hydra_config=True)
    plain = OmegaConf.to_container(whole)
    found = given([plain.pop("hydra")["sweeper"], plain])
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]


def given(settings: Any) -> Any:
    """Settings without those that are null: a key that comes new into the yamls as null changes nothing."""
    if isinstance(settings, dict):
        return {key: given(value) for key, value in settings.items() if value is not None}
    return [given(x) for x in settings] if isinstance(settings, list) else settings


def ran(*words: str, threads: int) -> None:
    environ = {"OMP_NUM_THREADS": str(threads), **os.environ}
    subprocess.run(["forecast", *words], check=True, env=environ)


def tabled(runs: Sequence[str], folder: Path) -> dict[str, float]:
    """Scores of the runs' mean forecast at their own origins, those that are kept, and those of baselines."""
    scores = Path(runs[0]) / "scores.csv"
    if len(runs) > 1:
        scores = folder / "scores.csv"
        if not scores.exists():
            ran("backtest", f"run=[{','.join(runs)}]", f"folder={folder}", threads=1)
    table = pd.read_csv(scores).set_index(["model", "metric"])["value"].unstack("model", sort=False)
    own = table.iloc[:, 0].to_dict()
    found = {name: own[name] for name in KEPT if name in own}
    return found | {f"mae {model}": table.loc["mae", model] for model in (*BASELINES, *TRAINED) if model in table}


@torch.inference_mode()
def everywhere(runs: Sequence[str]) -> dict[str, float]:
    """Errors of the runs' mean forecast on every window, on the scale of the network; no table could hold them all."""
    members = [Forecaster.load(run) for run in runs]
    fitted = [member.fitted for member in members]
    panels = [member.panel(member.fitted.config["data"]["path"]) for member in members]
    windows = [x.origins(y, 1).seeing(x.fitted.config["context"]) for x, y in zip(members, panels, strict=True)]
    absolute, square, count = 0.0, 0.0, 0
    for batches in zip(*(each.batches(256) for each in windows), strict=True):
        first, scaling = batches[0], fitted[0].model.scaling
        if any(not first.cutoff.equal(batch.cutoff) for batch in batches):
            raise SystemExit(f"{', '.join(runs)}: their windows differ")
        points = [x.answered(batch, x.model.head.levels)[0] for x, batch in zip(fitted, batches, strict=True)]
        point, target = torch.stack(points).mean(0), first.target
        error = scaling.apply(point, first.series) - scaling.apply(target, first.series)
        absolute, square, count = absolute + error.abs().sum(), square + error.square().sum(), count + error.numel()
    return {"mae_scaled": float(absolute / count), "mse_scaled": float(square / count)}


def trained(name: str, jobs: int) -> list[dict[str, object]]:
    """Runs an experiment: a row for each seed."""
    published = pd.read_csv(PUBLISHED)
    scaled = published.loc[published["experiment"] == name, "score"].str.endswith("_scaled").any()
    folder = OUT / f"{name}-{settings(name)}"  # what other settings left does not count as done
    threads = max(1, (os.cpu_count() or 1) // jobs)
    ran("train", "-m", f"experiment={name}", f"sweep.folder={folder}", f"sweep.jobs={jobs}", threads=threads)
    table, rows = pd.read_csv(folder / "sweep.csv"), []
    for seed, members in table.groupby("seed"):
        runs = [str(folder / str(job)) for job in sorted(members["job"])]
        if name in OWN:
            found = OWN[name](runs)
        else:
            found = everywhere(runs) if scaled else tabled(runs, folder / f"seed-{seed}")
        facts = {"experiment": name, "settings": settings(name), "seed": seed, "members": len(runs)}
        cost = {"seconds": round(members["seconds"].sum()), "machine": f"{processor()}, {jobs} at once"}
        rows.append(facts | cost | {key: round(value, 6) for key, value in found.items()})
    return rows


def shown(known: pd.DataFrame) -> None:
    """A line for each published number: ours over seeds, theirs (without a value: of the same runs), who is ahead."""
    titles = ["experiment", "score", "ours: mean ± sd (seeds)", "published", "ahead", "minutes a seed"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for (name, score), published in pd.read_csv(PUBLISHED).groupby(["experiment", "score"], sort=False):
        own = known[known["experiment"] == name]
        if own.empty:
            continue
        values = own[str(score)].tolist()
        mean = statistics.fmean(values)
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        others = {x.model: x.value for x in published.itertuples()}
        others |= {model: own[f"{score} {model}"].mean() for model, value in others.items() if math.isnan(value)}
        theirs = "; ".join(f"{value:.4g} {model}" for model, value in others.items())
        cover = str(score).startswith("coverage")  # it should be that; of all other scores less is better
        ahead = [model for model, value in others.items() if (abs(mean - value) > NEAR if cover else mean > value)]
        minutes = own["seconds"].mean() / 60
        members = f", {own['members'].iloc[0]} members" if own["members"].iloc[0] > 1 else ""
        print(
            f"| {name} | {score} | {mean:.4f}{spread} ({len(values)}{members}) | {theirs} | "
            f"{', '.join(ahead) or '**forecast**'} | {minutes:.1f} |"
        )
    print(f"\nOn: {'; '.join(known['machine'].unique())}. Sources:\n")
    for model, source in pd.read_csv(PUBLISHED)[["model", "source"]].drop_duplicates().itertuples(index=False):
        print(f"- {model}: {source}")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("experiments", nargs="*", help="default: all that published.csv names")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once")
    parser.add_argument("--known", action="store_true", help="train nothing, show what is in accuracy.csv")
    asked = parser.parse_args()
    known = pd.read_csv(LEDGER) if LEDGER.exists() else pd.DataFrame(columns=["experiment", "settings", "machine"])
    wanted = asked.experiments or pd.read_csv(PUBLISHED)["experiment"].unique()
    for name in [] if asked.known else wanted:
        if ((known["experiment"] == name) & (known["settings"] == settings(name))).any():
            continue
        rows = pd.DataFrame(trained(name, asked.jobs))
        known = pd.read_csv(LEDGER) if LEDGER.exists() else known  # others may have written meanwhile
        known = pd.concat([known[known["experiment"] != name], rows]) if len(known) else rows
        known.to_csv(LEDGER, index=False)
    shown(known)


if __name__ == "__main__":
    main()
