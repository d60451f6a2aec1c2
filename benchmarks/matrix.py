"""Which combinations of model, backbone and head work? One epoch of each on the first 2,000 rows of ETTh1.

    FORECAST_DATA=<folder> python benchmarks/matrix.py [rows]

Small networks (hidden size 16, context 96, horizon 24) learn from the oil temperature, then forecast the newest window;
a cell works if the loss and the forecast are finite. What is refused is printed with its reason.
"""

import logging
import os
import sys
import time
import warnings
from collections import Counter
from itertools import product

os.environ["OMP_NUM_THREADS"] = "2"

import numpy as np
import pandas as pd

from forecast import Forecaster, Refusal
from forecast.config import CONF
from forecast.data.lines import find

NAMES = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("model", "backbone", "head")}
SIZES = ["backbone.hidden_size=16", "data=csv", "data.target=[OT]", "trainer.max_epochs=1", "logger=none"]
SIZES += ["trainer.enable_progress_bar=false", "stride=4"]
OWN = {
    "direct": ["model.hidden=16"],
    "segment": ["model.hidden=16"],
    "autoregressive": ["model.paths=20"],
    "direction": ["normalizer=[last]"],
    "lognormal": ["data.scaler=none", "normalizer=[none]"],
    "negative_binomial": ["data.scaler=none", "normalizer=[none]"],
}


def tried(frame, model, backbone, head):
    """'works', or why not, and seconds."""
    began = time.perf_counter()
    given = [*SIZES, *OWN.get(model, ()), *OWN.get(head, ())]
    made = Forecaster(model=model, backbone=backbone, head=head, context=96, horizon=24, overrides=given)
    try:
        made.fit(frame)
        finite = np.isfinite(made.predict().filter(regex="^(point|q|p_)").to_numpy()).all()
        verdict = "works" if finite and np.isfinite(made.fitted.record["val/loss"]) else "NOT FINITE"
    except Refusal as refusal:
        verdict = f"refused: {refusal}"
    except Exception as error:
        verdict = f"FAILS: {type(error).__name__}: {error}"
    return verdict, time.perf_counter() - began


def main(rows=2000):
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    frame = pd.read_csv(find("ETTh1.csv"), nrows=rows, parse_dates=["date"])[["date", "OT"]]
    counts = frame.assign(OT=frame["OT"].round() + 10)  # above 0, and whole, for the laws that want it
    verdicts, spent = Counter(), Counter()
    for model, head, backbone in product(NAMES["model"], NAMES["head"], NAMES["backbone"]):
        fitting = counts if head in ("lognormal", "negative_binomial") else frame
        verdict, seconds = tried(fitting, model, backbone, head)
        verdicts[verdict.split(":")[0]] += 1
        spent[model] += seconds
        if verdict != "works":
            print(f"{model} x {backbone} x {head}: {verdict}", flush=True)
    print(f"{sum(verdicts.values())} cells: " + ", ".join(f"{count} {name}" for name, count in verdicts.items()))
    print("seconds: " + ", ".join(f"{model} {seconds:.0f}" for model, seconds in spent.items()))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
