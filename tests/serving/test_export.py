"""What is exported forecasts as `forecast predict` does, without torch and pandas, or is refused at the export."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import QUICK

from forecast import Forecaster, build
from forecast.config import composed
from forecast.data.clock import Clock
from forecast.error import Refusal
from forecast.fitted import Fitted
from forecast.learning import prepared
from forecast.recipe import laid, opened, shape_of
from forecast.serving.export import export
from forecast.serving.onnx import Predictor, main

pytestmark = pytest.mark.usefixtures("unchecked")
SMALL = (*QUICK, "trainer.enable_progress_bar=false", "logger=none", "model=linear", "context=24", "horizon=12")


def made(columns, rows=420, start="2024-03-20", freq="h", zone=None, ahead=0, series=()):
    """A frame with these columns; of each series the last `ahead` rows have no y."""
    stamps = pd.date_range(start, periods=rows, freq=freq, tz=zone)
    frames = []
    for code, name in enumerate(series or ["alone"]):
        noise, turn = np.random.default_rng(code).normal(size=(3, rows)), np.arange(rows)
        frame = pd.DataFrame({"site": name, "ds": stamps, "y": 5 + np.sin(turn / 4) * (code + 1) + noise[0] / 5})
        frame["temperature"], frame["wind"] = 20 + np.sin(turn / 9) + noise[1], 3 * np.cos(turn / 7) + noise[2]
        frame["kind"] = np.where(turn % 3 == 0, "a", "b")
        frame["size"], frame["colour"] = 10.5 * (code + 1), ["red", "blue"][code % 2]
        frame.loc[turn >= rows - ahead, "y"] = np.nan
        frame.loc[turn % 50 == 7, "temperature"] = np.nan
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)[columns.split()]


def local(frame):
    """The same with the zone's offsets cut off its stamps."""
    return frame.assign(ds=frame["ds"].dt.tz_localize(None))


def holes(frame):
    """The same without some values, and without some rows."""
    return frame.assign(y=frame["y"].where(frame.index % 7 > 1)).drop(index=range(100, 130))


COVARIATES = ["data.past=[temperature]", "data.future=[wind,kind]", "data.categorical=[kind]"]
DAY = ["anchor='00:00'", "horizon=25", "context=30"]
CASES = {  # rows, and a forecaster of them
    "alone": (made("ds y"), []),
    "covariates": (made("ds y temperature wind kind", ahead=12), [*COVARIATES, "data.observed=true", "model=direct"]),
    "series": (
        made("site ds y temperature wind kind size colour", rows=200, series=("north", "south", "east"), ahead=12),
        [*COVARIATES, "data.id=site", "data.target=[y]", "data.static=[size,colour]", "data.latitude=52"],
    ),
    "offsets": (made("ds y wind", zone="Europe/Berlin", ahead=12), ["data.future=[wind]", "data.tz=Europe/Berlin"]),
    "local": (
        local(made("ds y", start="2023-10-11 22:00", zone="Europe/Berlin")),  # a night of two 02:00 in the context
        ["data.tz=Europe/Berlin", "normalizer=[cycle]"],
    ),
    "local spring": (local(made("ds y", zone="Europe/Berlin")), ["data.tz=Europe/Berlin"]),
    "issue": (
        made("ds y temperature wind", rows=24 * 17 + 23, ahead=23),
        ["data.past=[temperature]", "data.future=[wind]", "data.lag={y: -12, wind: -20}", "issue='12:00'", *DAY],
    ),
    "short day": (
        made("ds y wind", rows=24 * 15 + 25, start="2024-03-16", zone="Europe/Berlin", ahead=25),
        ["data.future=[wind]", "data.tz=Europe/Berlin", *DAY],
    ),
    "quarters": (made("ds y wind", freq="15min", ahead=12), ["data.future=[wind]", "model=segment", "model.length=4"]),
    "days": (made("ds y", freq="D", zone="Europe/Berlin", start="2023-01-01"), ["data.tz=Europe/Berlin"]),
    "targets": (made("ds temperature wind"), ["data.target=[wind,temperature]"]),
    "jointly": (made("ds temperature wind"), ["data.target=[wind,temperature]", "data.joint=true"]),
    "split": (made("ds y"), ["calibrate=split", "calibrate.by=hour", "head=point"]),
    "cqr": (
        made("site ds y", rows=300, series=("north", "south")),
        ["calibrate=cqr", "calibrate.symmetric=false", "data.id=site", "data.target=[y]", "head.levels=[0.3,0.5,0.7]"],
    ),
    "bounds": (made("ds y"), ["data.min=4.8", "data.max=5", "gap=3"]),
    "season": (holes(made("ds y")), ["data.fill=season", "data.scaler=asinh", "data.observed=true"]),
    "directions": (made("ds y"), ["head=direction", "normalizer=[last]"]),
    "paths": (made("ds y"), ["model=autoregressive", "model.paths=5", "horizon=2"]),
}


def made_of(overrides, trained=False):
    """A forecaster of rows.csv; if not trained, with weights as they were made: what they are does not matter here."""
    settings = composed("train", ["data=csv", *SMALL, *overrides])
    forecaster = Forecaster.of(settings)
    if trained:
        return forecaster.fit("rows.csv")
    grid, borders = laid(settings, opened(settings["data"], "rows.csv"))
    panel, statistics = prepared(settings, grid, borders)
    model = build.model(settings, shape_of(panel, statistics, settings), statistics.scaling)
    forecaster.fitted_ = Fitted(settings, grid.layout, statistics, borders, model, {}, panel)
    return forecaster


LESS = ("alone", "offsets", "local spring", "days", "targets", "bounds")  # what others show as well, but for one thing


@pytest.mark.parametrize("case", [pytest.param(x, marks=pytest.mark.slow) if x in LESS else x for x in CASES])
def test_the_predictor_equals_predict(case):
    frame, overrides = CASES[case]
    frame.to_csv("rows.csv", index=False)
    forecaster = made_of(overrides, trained=case in ("split", "cqr"))
    wanted = forecaster.predict("rows.csv")
    assert export(forecaster.fitted, Path("out")) < 1e-5
    found = pd.DataFrame(Predictor("out").predict("rows.csv"))
    assert list(found.columns) == list(wanted.columns) and len(found) == len(wanted) > 0
    assert found["unique_id"].tolist() == wanted["unique_id"].tolist()
    for name in ("ds", "cutoff"):
        assert (pd.to_datetime(found[name], utc=True) == pd.to_datetime(wanted[name], utc=True)).all()
    numbers = [x for x in wanted.columns if x not in ("unique_id", "ds", "cutoff", "y")]
    deviation, middle = forecaster.fitted.statistics.deviation.min(), forecaster.fitted.statistics.middle.mean()
    unit = np.maximum(deviation, (wanted[numbers] - middle).abs())
    assert ((found[numbers].astype(float) - wanted[numbers]).abs() / unit).max(axis=None) < 1e-5


BLOCKED = """
import sys
sys.modules |= dict.fromkeys(("torch", "pandas", "lightning", "hydra", "sklearn", "safetensors", "onnx"))
from forecast.serving.onnx import main
sys.exit(main(sys.argv[1:]))
"""


def bare(*words):
    """The predictor in a process of its own, in which torch and pandas can't be imported."""
    return subprocess.run([sys.executable, "-c", BLOCKED, *words], capture_output=True, text=True, check=False)


def test_a_run_is_exported_and_forecasts_without_torch(forecast):
    CASES["alone"][0].to_csv("rows.csv", index=False)
    made_of([]).save("run/forecaster")
    code, out, err = forecast("export", "run=run")
    assert code == 0, err
    assert "standard deviations" in out and {x.name for x in Path("run/export").iterdir()} == {
        "model.onnx",
        "export.json",
    }
    done = bare("run/export", "rows.csv", "theirs.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert forecast("predict", "run=run", "data.path=rows.csv", "folder=ours")[0] == 0
    theirs, ours = pd.read_csv("theirs.csv"), pd.read_csv("ours/forecast.csv")
    pd.testing.assert_frame_equal(theirs, ours, check_exact=False, rtol=1e-5, atol=1e-6)
    assert forecast("export", "run=run")[0] == 0  # again, over what was there
    for file, change in (("model.onnx", b"x"), ("export.json", b" ")):
        content = Path("run/export", file).read_bytes()
        Path("run/export", file).write_bytes(
            content + change if file == "model.onnx" else content.replace(b"24", b"25", 1)
        )
        done = bare("run/export", "rows.csv", "none.csv")
        assert done.returncode == 2 and "export it again" in done.stderr and not Path("none.csv").exists()
        Path("run/export", file).write_bytes(content)


def test_what_blocks_torch_would_catch_it():
    code = BLOCKED.replace("from forecast.serving.onnx", "import forecast.forecaster\nfrom forecast.serving.onnx")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "import of pandas halted" in done.stderr


REFUSED = {  # words of the command, and of the refusal
    "no run": ([], "which run?"),
    "two runs": (["run=[run,run]"], "of one"),
    "unknown format": (["run=run", "format=coreml"], "expected onnx"),
    "nowhere": (["run=nowhere"], "holds no forecaster.json"),
    "other files": (["run=run", "folder=full"], "holds other files"),
}


def test_what_can_not_be_exported_is_refused_with_nothing_written(forecast):
    CASES["alone"][0].to_csv("rows.csv", index=False)
    made_of([]).save("run/forecaster")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    before = sorted(map(str, Path().rglob("*")))
    for words, said in REFUSED.values():
        code, _, err = forecast("export", *words)
        assert code == 2 and said in err, err
    assert sorted(map(str, Path().rglob("*"))) == before


def test_what_the_predictor_can_not_read_is_refused_at_the_export():
    CASES["alone"][0].to_csv("rows.csv", index=False)
    fitted = made_of([]).fitted
    for name, value in {
        "fill": "linear",
        "resample": "mean",
        "dates": "%Y",
        "holidays": "DE",
        "time": ["a", "b"],
    }.items():
        changed = replace(fitted, config=fitted.config | {"data": fitted.config["data"] | {name: value}})
        with pytest.raises(Refusal, match=rf"data\.{name}="):
            export(changed, Path("out"))
    with pytest.raises(Refusal, match=r"data\.freq=MS"):
        export(replace(fitted, layout=replace(fitted.layout, clock=Clock("MS"))), Path("out"))
    assert not Path("out").exists()


def test_online_calibration_is_refused_at_the_export():
    CASES["alone"][0].to_csv("rows.csv", index=False)
    forecaster = made_of(["calibrate=online"], trained=True)
    with pytest.raises(Refusal, match=r"calibrate\.rate"):
        export(forecaster.fitted, Path("out"))


WRONG = {  # a change of the file, and what is said of it
    "no column": (lambda text: text.replace("ds,y", "ds,z"), "no column 'y'"),
    "a word": (lambda text: text.replace("2024-03-25 05:00:00,", "2024-03-25 05:00:00,x"), "row 126, column 'y': 'x"),
    "a date": (
        lambda text: text.replace("2024-03-25 05:00:00", "25.03.2024 05:00:00"),
        "row 126: '25.03.2024 05:00:00'",
    ),
    "twice": (lambda text: text.replace("2024-03-25 05:00:00", "2024-03-25 04:00:00"), "there twice"),
    "off the grid": (lambda text: text.replace("2024-03-25 05:00:00", "2024-03-25 05:30:00"), "not on the grid"),
    "a short line": (lambda text: text.replace("2024-03-25 05:00:00,", "2024-03-25 05:00:00"), "row 126: 1 cells"),
    "a time zone": (lambda text: text.replace(":00:00,", ":00:00+01:00,"), "with and without a time zone"),
    "too short": (lambda text: "\n".join(text.split("\n")[:20]), "a forecast needs 24"),
    "empty": (lambda text: "ds,y\n", "no rows"),
}


def test_rows_that_are_not_as_those_of_training_are_refused_by_place():
    CASES["alone"][0].to_csv("rows.csv", index=False)
    export(made_of([]).fitted, Path("out"))
    predictor, text = Predictor("out"), Path("rows.csv").read_text()
    for change, said in WRONG.values():
        assert change(text) != text
        Path("wrong.csv").write_text(change(text))
        with pytest.raises(Refusal) as refusal:
            predictor.predict("wrong.csv")
        assert said in str(refusal.value)
    for words, code in ((["out", "missing.csv", "x.csv"], 2), (["nowhere", "rows.csv", "x.csv"], 2), ([], 2)):
        assert main(words) == code


def test_what_the_scaler_has_no_number_for_is_refused():
    rows = CASES["alone"][0].assign(y=lambda x: x["y"].abs() + 1)
    rows.to_csv("rows.csv", index=False)
    export(made_of(["data.scaler=log1p"]).fitted, Path("out"))
    rows.assign(y=[*rows["y"][:-1], -7.5]).to_csv("wrong.csv", index=False)
    with pytest.raises(Refusal, match=rf"row {len(rows)}, column 'y': -7.5 has no logarithm"):
        Predictor("out").predict("wrong.csv")


def test_a_known_covariate_that_ends_too_early_is_refused():
    CASES["quarters"][0].to_csv("rows.csv", index=False)
    export(made_of(CASES["quarters"][1]).fitted, Path("out"))
    Path("short.csv").write_text("\n".join(Path("rows.csv").read_text().split("\n")[:-3]))
    with pytest.raises(Refusal, match="missing 11 steps after the last value"):
        Predictor("out").predict("short.csv")
