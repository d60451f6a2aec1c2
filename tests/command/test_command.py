"""The command line as people use it: what a run leaves behind, what TensorBoard reads, what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import QUICK
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from forecast.data.synthetic import panel

SMALL = (*QUICK, "context=48", "horizon=12", "trainer.max_epochs=2")


def last(out: str) -> Path:
    line = out.strip().split("\n")[-1]
    assert line.startswith("run: ")
    return Path(line.removeprefix("run: "))


def written() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.name != "my.csv")


def test_a_run_leaves_all_that_it_promises(forecast, csv):
    code, out, _ = forecast("train", f"data.path={csv}", *SMALL)
    run = last(out)
    assert code == 0
    assert run.parent == Path("outputs/my/segment-gru")
    names = {path.name for path in run.iterdir()}
    files = {"config.yaml", "forecast.csv", "scores.csv", "manifest.json", "train.log"}
    files |= {"forecast.png", "errors.png", "calibration.png"}
    assert names == files | {"tensorboard", "checkpoints", "forecaster"}
    scores = pd.read_csv(run / "scores.csv")
    assert list(scores.columns) == ["model", "metric", "value"]
    assert set(scores["model"]) == {"segment-gru", "seasonal_naive"}
    wanted = {"mae", "rmse", "mse", "smape", "mase", "rmae", "skill", "mae_scaled", "mse_scaled", "wql", "coverage_80"}
    assert wanted <= set(scores.loc[scores["model"] == "segment-gru", "metric"])
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["overrides"]["context"] == "48"
    assert len(manifest["record"]["data"]["sha256"]) == 64
    assert yaml.safe_load((run / "config.yaml").read_text())["context"] == 48
    assert "tensorboard --logdir" in out
    assert {str(path) for path in Path().iterdir()} == {"my.csv", "outputs"}  # no multirun/, no lightning_logs/


def test_scores_are_those_of_the_forecast_table(forecast, csv):
    _, out, _ = forecast("train", f"data.path={csv}", *SMALL)
    run = last(out)
    table, scores = pd.read_csv(run / "forecast.csv"), pd.read_csv(run / "scores.csv")
    own = scores[scores["model"] == "segment-gru"].set_index("metric")["value"]
    assert own["mae"] == pytest.approx((table["y"] - table["point"]).abs().mean(), rel=1e-12)
    code, out, _ = forecast("score", str(run / "forecast.csv"))
    assert code == 0
    assert f"{own['mae']:,.4g}" in out


def test_tensorboard_reads_everything_back(forecast, csv):
    _, out, _ = forecast("train", f"data.path={csv}", *SMALL)
    events = EventAccumulator(str(last(out) / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0}).Reload()
    tags = events.Tags()
    training = {"train/loss", "train/lr", "train/gradient_norm", "train/windows_per_second", "train/memory_mib"}
    assert training | {"val/loss", "val/mae", "val/mse", "test/mae", "test/skill", "score/val/mae"} <= set(
        tags["scalars"]
    )
    assert len(events.Scalars("train/loss")) == 2  # one an epoch
    errors = {f"error/{name}" for name in ("by_step", "by_calendar", "residuals", "autocorrelation")}
    assert set(tags["images"]) == {"forecast/fan", "calibration/reliability", "calibration/pit"} | errors
    assert {"data/text_summary", "config/text_summary", "custom_scalars__config__"} <= set(tags["tensors"])
    table = pd.read_csv(last(out) / "forecast.csv")
    error = (table["y"] - table["point"]).abs().groupby(table.groupby("cutoff").cumcount() + 1).mean()
    assert [x.value for x in events.Scalars("by_step/model")] == pytest.approx(error.tolist(), rel=1e-6)
    assert len(events.Scalars("by_step/seasonal_naive")) == 12
    plugin = events.PluginTagToContent("hparams")
    session = HParamsPluginData.FromString(plugin["_hparams_/session_start_info"]).session_start_info
    assert session.hparams["backbone/name"].string_value == "gru"
    assert session.hparams["context"].number_value == 48
    experiment = HParamsPluginData.FromString(plugin["_hparams_/experiment"]).experiment
    assert "test/mae" in {info.name.tag for info in experiment.metric_infos}


def test_predict_and_backtest_of_a_run(forecast, csv):
    _, out, _ = forecast("train", f"data.path={csv}", *SMALL)
    run = last(out)
    code, out, _ = forecast("predict", f"run={run}")
    assert code == 0
    assert last(out) == run
    (table,) = [pd.read_csv(path, parse_dates=["ds"]) for path in run.glob("predict/*/forecast.csv")]
    assert len(table) == 12
    assert table["y"].isna().all()
    assert table["ds"].min() == pd.read_csv(csv, parse_dates=["ds"])["ds"].max() + pd.Timedelta("1h")
    code, out, _ = forecast("backtest", f"run={run}", "stride=5")
    assert code == 0
    (table,) = [pd.read_csv(path, parse_dates=["cutoff"]) for path in run.glob("backtest/*/forecast.csv")]
    drawn = {path.name for path in run.glob("backtest/*/*.png")}
    assert drawn == {"forecast.png", "errors.png", "calibration.png"}
    assert set(np.diff(np.unique(table["cutoff"])) / np.timedelta64(1, "h")) == {5.0}
    newer = panel(series=1, rows=450, freq="h", seed=1)[["ds", "y"]]
    newer.to_csv("newer.csv", index=False)
    code, out, _ = forecast("predict", f"run={run}", "data.path=newer.csv", "levels=[0.25,0.5]", "paths=3")
    assert code == 0
    assert f"{newer['ds'].max()}" in out
    assert "q0.25" in out
    (paths,) = [pd.read_csv(path) for path in run.glob("predict/*/paths.csv")]
    assert list(paths.columns[3:]) == ["sample_0", "sample_1", "sample_2"] and len(paths) == 12


def test_a_backtest_repeats_the_scores_of_its_run(forecast, csv):
    _, out, _ = forecast("train", f"data.path={csv}", *SMALL)
    run = last(out)
    forecast("backtest", f"run={run}")
    (again,) = run.glob("backtest/*/scores.csv")
    pd.testing.assert_frame_equal(pd.read_csv(again), pd.read_csv(run / "scores.csv"), check_exact=True)


def test_a_sweep_ranks_its_jobs_and_leaves_its_best_as_an_experiment(forecast, csv):
    settings = (f"data.path={csv}", *SMALL, "logger=none")
    code, out, _ = forecast("train", "-m", *settings, "hydra/launcher=basic", "backbone=rnn,gru")
    assert code == 0
    (sweep,) = Path("outputs/sweep").iterdir()
    ranked = pd.read_csv(sweep / "sweep.csv")
    assert set(ranked["backbone"]) == {"gru", "rnn"} and len(ranked) == 2
    assert ranked["val/mae"].is_monotonic_increasing
    assert out.strip().split("\n")[-1] == f"sweep: {sweep}"
    assert {str(path) for path in Path().iterdir()} == {"my.csv", "outputs"}
    assert {path.name for path in sweep.glob("*.png")} == {"history.png", "importance.png"}
    best = yaml.safe_load((sweep / str(ranked["job"][0]) / "config.yaml").read_text())
    code, out, _ = forecast("train", f"--config-dir={sweep}", "experiment=best", "--cfg", "job")
    assert code == 0 and yaml.safe_load(out) == best


@pytest.mark.slow
def test_a_failed_job_is_listed_and_the_others_go_on(forecast, csv):
    """Each in a process of its own: one is refused, the other one trains, and comes out as it would alone."""
    settings = (f"data.path={csv}", *SMALL, "logger=none")
    code, out, err = forecast("train", "-m", *settings, "sweep.folder=mine", "sweep.jobs=2", "data.scaler=wrong,none")
    assert code == 2 and "1 of 2 jobs failed" in err and "job 0 failed: data.scaler=wrong: expected" in out
    table = pd.read_csv("mine/sweep.csv")
    assert table["state"].tolist() == ["done", "failed"] and "standard" in table["reason"][1]
    alone = last(forecast("train", *settings, "data.scaler=none")[1])
    assert table["val/mae"][0] == json.loads((alone / "manifest.json").read_text())["score"]["value"]
    assert "epoch 1: train/loss" in Path("mine/1/output.log").read_text()


def test_two_runs_never_share_a_folder(forecast, csv):
    runs = {last(forecast("train", f"data.path={csv}", *SMALL, "folder=mine")[1]) for _ in range(2)}
    assert runs == {Path("mine"), Path("mine-1")}


CSV = "ds,y\n" + "\n".join(f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00,{i % 24}" for i in range(700))
REFUSED = {
    "missing file": (None, ["data.path=mi.csv"], "did you mean 'my.csv'"),
    "empty file": ("", [], "is empty"),
    "no rows": ("ds,y\n", [], "no rows"),
    "no time column": ("a,y\n1,2\n3,4\n", [], "no column of times"),
    "bad time": (
        CSV.replace("2024-01-03 05:00", "3.1.2024"),
        [],
        "row 54, column 'ds': '3.1.2024' is written in another way",
    ),
    "duplicate": (CSV + "\n2024-01-02 00:00,1", [], "duplicate stamps; the first is 2024-01-02 00:00:00"),
    "unknown target": (CSV, ["data.target=[yy]"], "no column 'yy'; did you mean 'y'"),
    "not a number": (CSV.replace("2024-01-02 07:00,7", "2024-01-02 07:00,seven"), [], "row 32, column 'y': 'seven'"),
    "too short": ("\n".join(CSV.split("\n")[:50]), ["context=200"], "too short for a window"),
    "horizon": (CSV, ["horizon=0"], "horizon=0: expected a whole number"),
    "context": (CSV, ["context=-3"], "context=-3: expected a whole number"),
    "unknown key": (CSV, ["trainer.max_epoch=3"], "did you mean 'trainer.max_epochs'"),
    "unknown part": (CSV, ["backbone=gruu"], "did you mean 'gru'"),
    "added key": (CSV, ["+foo=1"], "can't be added"),
    "added key of no launcher": (CSV, ["+hydra.launcher.foo=1"], "can't be added"),
    "no value": (CSV, ["horizon"], "horizon"),
    "import path": (CSV, ["backbone._target_=os.system"], "no such key"),
    "trainer": (CSV, ["trainer.accelerator=abacus"], "abacus"),
    "optimizer": (CSV, ["optimizer.lr=-1"], "Invalid learning rate"),
    "levels": (CSV, ["head.levels=[0.9,0.1]"], "ascending levels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_run_says_why_and_writes_nothing(forecast, case):
    text, overrides, words = REFUSED[case]
    Path("my.csv").write_text(CSV if text is None else text)
    given = [] if any(x.startswith("data.path") for x in overrides) else ["data.path=my.csv"]
    code, _out, err = forecast("train", *given, "context=24", "horizon=6", *overrides)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert written() == []


@pytest.mark.parametrize("command", ["predict", "backtest"])
def test_what_is_no_run_is_refused(forecast, command):
    Path("empty").mkdir()
    for words in ([], ["run=nowhere"], ["run=empty"]):
        code, _, err = forecast(command, *words)
        assert code == 2
        assert "run" in err
    assert written() == ["empty"]


def test_predict_on_data_without_its_columns_is_refused(forecast, csv):
    _, out, _ = forecast("train", f"data.path={csv}", *SMALL)
    Path("other.csv").write_text("ds,z\n2024-01-01,1\n2024-01-02,1\n")
    before = written()
    code, _, err = forecast("predict", f"run={last(out)}", "data.path=other.csv")
    assert code == 2
    assert "no column 'y'" in err
    assert written() == before


def test_unsorted_rows_are_sorted_with_a_note(forecast, csv):
    pd.read_csv(csv).sample(frac=1, random_state=0).to_csv("mixed.csv", index=False)
    code, out, _ = forecast("train", "data.path=mixed.csv", *SMALL)
    assert code == 0
    assert "have been sorted" in (last(out) / "train.log").read_text()


def test_a_diverged_run_has_its_own_exit_code(forecast, csv):
    code, _, err = forecast("train", f"data.path={csv}", *SMALL, "optimizer=sgd", "optimizer.lr=1e38", "head=point")
    assert code == 3
    assert "lower optimizer.lr" in err


@pytest.mark.slow
def test_names_that_hydra_refuses_are_quoted_for_people(forecast, csv):
    for name in ("Größe.csv", "it's.csv", "a b.csv"):
        Path(name).write_bytes(Path(csv).read_bytes())
        code, out, err = forecast("train", f"data.path={name}", *SMALL)
        assert code == 0, err
        assert last(out).is_dir()


def test_twenty_starts_at_once_get_twenty_folders(tmp_path):
    script = "from forecast.sweep.folder import claim; from pathlib import Path; print(claim(Path('outputs/a/run')))"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=dict(os.environ)
        )
        for _ in range(20)
    ]
    assert len({process.communicate()[0].strip() for process in started}) == 20
