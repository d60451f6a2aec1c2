"""Classes on the whole road: movement from rolling origins, labelled series from file to forecast, what is refused."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import DIRECT, QUICK

from forecast import Forecaster, Refusal, config
from forecast.board.summary import summary
from forecast.data import table
from forecast.data.reader import read
from forecast.data.synthetic import panel
from forecast.evaluation.metrics import REFERENCE

CONTEXT, HORIZON, BINS, NAMES = 48, 12, (-0.3, 0.2), ("down", "flat", "up")
MOVEMENT = ("head=direction", "normalizer=[last]", "head.bins=[-0.3,0.2]")
DAYS, VALUES, LABELS = 40, 6, ("s", "w")
LABELLED = (
    "data=csv", "data.start=2000-01-01", "data.freq=h", "data.scaler=none", "data.calendar=[]",
     "data.split=[0.5,0.2,0.3]", *DIRECT, "head=direction", "head.classes=[winter,summer]", "head.bins=null",
    f"context={VALUES}", "horizon=1",
)  # fmt: skip


def forecaster(*overrides: str) -> Forecaster:
    return Forecaster.of(config.composed("train", [f"context={CONTEXT}", f"horizon={HORIZON}", *QUICK, *overrides]))


def data(rows: int = 400) -> pd.DataFrame:
    return panel(series=2, rows=rows, freq="h", seed=3)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return forecaster("data=csv", *MOVEMENT).fit(data())


def moved(values: pd.DataFrame, rows: pd.DataFrame, made: Forecaster, back: int = 0) -> list[int]:
    """The class of each row of a forecast table by hand: of the values themselves, or of those `back` steps before."""
    assert made.fitted is not None
    unit = dict(zip(made.fitted.statistics.names, made.fitted.statistics.scale[1:, 0], strict=True))
    y = {name: part.set_index("ds")["y"] for name, part in values.groupby("unique_id")}
    found = []
    for name, ds, cutoff in zip(rows["unique_id"], rows["ds"], rows["cutoff"], strict=True):
        change = (y[name][ds - pd.Timedelta(hours=back)] - y[name][cutoff]) / unit[name]
        found.append(sum(change > edge for edge in BINS))
    return found


def test_y_and_seasonal_naive_are_the_movement_since_the_cutoff_in_train_deviations(fitted):
    values, judged = data(), fitted.judge()
    mine, naive = judged.forecasts[fitted.name], judged.forecasts[REFERENCE]
    assert mine["y"].tolist() == naive["y"].tolist() == moved(values, mine, fitted)
    assert naive["point"].tolist() == moved(values, naive, fitted, back=fitted.fitted.statistics.season)
    assert set(mine["y"]) == {0, 1, 2}
    columns = [f"p_{name}" for name in NAMES]
    assert mine.columns.tolist() == naive.columns.tolist() == ["unique_id", "ds", "cutoff", "y", "point", *columns]
    for found in (mine, naive):
        assert (found[columns].sum(axis=1) - 1).abs().max() < 1e-12
        assert (found[columns].to_numpy().argmax(1) == found["point"]).all()
    assert set(naive[columns].to_numpy().ravel()) == {0, 1}
    assert "accuracy" in summary(judged.scores) and "skill" in summary(judged.scores)


def test_an_unobserved_step_has_no_class(fitted):
    values = data()
    gone = values["ds"].isin(values["ds"].iloc[350:360])
    for found in fitted.judge(values.assign(y=values["y"].mask(gone))).forecasts.values():
        assert found["y"].isna().tolist() == found["ds"].isin(values["ds"][gone]).tolist() and found["y"].isna().any()
        assert found["point"].notna().all()


def test_nothing_after_the_cutoff_changes_a_probability(fitted):
    values = data()
    whole = fitted.backtest(values)
    cutoff = whole["cutoff"].iloc[len(whole) // 4]
    after = values["ds"] > cutoff
    for change in (values["y"] * 50, values["y"] - 1000):
        other = fitted.backtest(values.assign(y=values["y"].where(~after, change)))
        seen = (whole["cutoff"] <= cutoff).to_numpy()
        a, b = (x[seen].drop(columns="y").reset_index(drop=True) for x in (whole, other))
        pd.testing.assert_frame_equal(a, b, check_exact=True)
        assert not a.empty and not np.array_equal(whole["y"][seen], other["y"][seen])
        assert not np.array_equal(whole["p_up"][~seen], other["p_up"][~seen])


@pytest.mark.parametrize("scaler", ["standard", "robust", "minmax", "asinh"])
def test_level_and_unit_do_not_matter(scaler):
    values, probabilities = data(300), []
    for factor, shift in ((1.0, 0.0), (1000.0, 1e7)):
        made = forecaster("data=csv", *MOVEMENT, f"data.scaler={scaler}").fit(
            values.assign(y=values["y"] * factor + shift)
        )
        probabilities.append(made.backtest().drop(columns=["unique_id", "ds", "cutoff"]))
    pd.testing.assert_frame_equal(*probabilities, check_exact=False, rtol=0, atol=1e-4)


def test_a_saved_forecaster_gives_the_same_probabilities(fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    loaded = Forecaster.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(loaded.predict(data()), fitted.predict(data()), check_exact=True)
    with pytest.raises(Refusal, match="not quantiles"):
        loaded.predict(data(), levels=[0.5])


def test_bounds_of_forecasts_are_not_bounds_of_classes():
    made = forecaster("data=csv", *MOVEMENT, "data.min=1000", "data.max=1001").fit(data(300))
    assert set(made.predict()["point"]) <= {0, 1, 2}


@pytest.fixture
def days(tmp_path) -> Path:
    """Labelled days: summer's have their peak late; the labels of two are not known, a value is missing."""
    rng, path = np.random.default_rng(1), tmp_path / "days.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["label", *(f"t{i}" for i in range(VALUES))])
        for i in range(DAYS):
            kind = int(rng.integers(2))
            cells = [f"{x:.6f}" for x in np.eye(VALUES)[1 + 3 * kind] + 0.1 * rng.normal(size=VALUES)]
            cells[2] = "" if i == 7 else cells[2]
            out.writerow([("w", "s")[kind] if i not in (5, DAYS - 1) else "", *cells])
    return path


def labelled(*overrides: str, label: str = "{label: [w, s]}") -> Forecaster:
    return forecaster(*LABELLED, f"data.label={label}", *overrides)


def settings() -> dict:
    return labelled().settings()["data"]


def test_a_labelled_line_is_a_series_that_ends_with_the_number_of_its_label(days):
    found = table.table(read(days, settings()), settings(), "any").frame
    with days.open(newline="") as file:
        _, *rows = csv.reader(file)
    values = [[*row[1:], {"w": "0", "s": "1", "": ""}[row[0]]] for row in rows]
    np.testing.assert_array_equal(found["y"], [float(x or "nan") for row in values for x in row])
    assert found["unique_id"].tolist() == [f"{i + 1:02d}" for i in range(DAYS) for _ in range(VALUES + 1)]
    assert found["ds"].tolist() == pd.date_range("2000-01-01", periods=DAYS * (VALUES + 1), freq="h").tolist()


def test_labels_are_learnt_and_forecast(days):
    made = labelled(f"data.path={days}", "trainer.max_epochs=40", "optimizer.lr=0.03", "batch_size=4").fit()
    judged = made.judge()
    mine = judged.forecasts[made.name]
    assert [*judged.forecasts] == [made.name]  # labels have no seasons
    assert len(mine) == 11 and mine["y"].notna().all()  # the last has no label to be judged by
    assert judged.scores.set_index("metric")["value"]["accuracy"] == 1
    with days.open(newline="") as file:
        labels = [{"w": 0, "s": 1}.get(row[0]) for row in csv.reader(file)][1:]
    every = made.predict(days)  # each line by its values
    right = [k == point for k, point in zip(labels, every["point"], strict=True) if k is not None]
    assert len(every) == DAYS and np.mean(right) > 0.9


def test_a_label_reaches_no_forecast_and_no_statistic(days):
    made = labelled(f"data.path={days}").fit()
    text = days.read_text()
    for other in (text.replace("\nw", "\ns"), text.replace("\nw", "\n").replace("\ns", "\n")):
        days.write_text(other)
        pd.testing.assert_frame_equal(
            made.predict(days).drop(columns="y"), made.predict().drop(columns="y"), check_exact=True
        )
    assert (made.fitted.statistics.loc == 0).all() and (made.fitted.statistics.scale == 1).all()
    lines = text.split("\n")
    days.write_text("\n".join([*lines[:9], lines[9].replace("0.", "7."), *lines[10:]]))  # other values of one line
    changed = (made.predict(days)["p_winter"] != made.predict()["p_winter"]).to_numpy()
    assert changed[8] and changed.sum() == 1


def test_labels_are_numbered_as_they_are_named_whichever_a_file_holds(days):
    days.write_text("\n".join(x for x in days.read_text().split("\n") if not x.startswith("w")))
    found = table.table(read(days, settings()), settings(), "any").frame["y"].to_numpy().reshape(-1, VALUES + 1)
    assert set(found[~np.isnan(found[:, -1]), -1]) == {1}


def test_more_lines_than_the_calendar_has_room_for_are_refused(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("label,t0,t1\n" + "w,1,2\n" * 40_000)
    with pytest.raises(Refusal, match=r"120000 steps of data\.freq=D .* 2262"):
        read(path, settings() | {"freq": "D"})
    assert len(read(path, settings())) == 120_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("\nw", "\nx"), "label 'x' is none of those of data.label, w, s"),
        (("label", "other"), "no column 'label'"),
    ],
)
def test_a_file_of_other_labels_is_refused(days, change, says):
    days.write_text(days.read_text().replace(*change))
    with pytest.raises(Refusal, match=says):
        read(days, settings())


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("head.classes=[a,b,c]",), "data.label.*as many"),
        (("{a: [w, s], b: [w, s]}",), "data.label.*one column"),
        (("{label: [w, w]}",), "data.label.*as many"),
        (("data.start=null",), "data.start"),
        (("data.scaler=standard",), "data.scaler=none"),
        (("normalizer=[standard]",), "normalizer=.*none"),
        (("horizon=2",), "horizon=1"),
        (("gap=1",), "gap=0"),
        (("context=5",), "context"),
        (("model.skip=linear",), "skip"),
    ],
)
def test_labels_that_would_be_changed_are_refused(days, overrides, says):
    label = next((x for x in overrides if x.startswith("{")), "{label: [w, s]}")
    made = labelled(f"data.path={days}", *(x for x in overrides if x != label), label=label)
    with pytest.raises(Refusal, match=says):
        made.fit()


def test_labels_are_for_a_head_of_classes(days):
    made = labelled(f"data.path={days}").settings()
    other = config.composed("train", ["head=quantile"])["head"]
    with pytest.raises(Refusal, match="head=direction"):
        Forecaster.of(made | {"head": other}).fit()


@pytest.mark.parametrize(
    "overrides",
    [
        ("normalizer=[none]",),
        ("normalizer=[last,standard]",),
        ("normalizer=[standard]",),
        ("model.skip=last",),
        ("model=autoregressive",),
    ],
)
def test_classes_of_what_is_no_movement_are_refused(overrides):
    with pytest.raises(Refusal, match="head=direction"):
        forecaster("data=csv", *MOVEMENT, *overrides).fit(data())


def test_the_experiment_reads_the_archives_files(real, tmp_path, monkeypatch):
    """Joined as its comment says: 67 days of train and val, 1029 of test, each one window."""
    lines = []
    for part in ("TRAIN", "TEST"):
        path = real(f"ItalyPowerDemand_{part}.csv")
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            lines += file.readlines()[bool(lines) :]
    monkeypatch.setenv("FORECAST_DATA", str(tmp_path))
    (tmp_path / "ItalyPowerDemand.csv").write_text("".join(lines))
    made = Forecaster.of(config.composed("train", ["experiment=italy_power", *QUICK])).fit()
    found = made.backtest()
    assert len(found) == 1029 and found["y"].tolist() == [int(x[0]) - 1 for x in lines[-1029:]]
    assert found.columns.tolist()[-2:] == ["p_winter", "p_summer"]
    known = yaml.safe_load((config.CONF / "data/italy_power.yaml").read_text())
    assert sum(known["split"][:2]) == 67 * 25
