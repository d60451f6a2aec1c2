"""Backtests that learn again: each fold is a training of its own on what was known by then, and none sees further."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import QUICK

from forecast import Forecaster, Refit, Refusal, fold
from forecast.data.synthetic import panel

ROWS, HORIZON = 400, 6
SETTINGS = [*QUICK, "test_stride=20", "data.split=[0.6,0.15,0.25]", "batch_size=32", "logger=none"]
EVERY = {
    "expanding": Refit(2),
    "sliding": Refit(2, sliding=True),
    "warm": Refit(2, warm=True),
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return panel(series=2, rows=ROWS, freq="h", seed=1)


@pytest.fixture(scope="module")
def made(frame) -> Forecaster:
    return Forecaster(data="csv", context=24, horizon=HORIZON, overrides=SETTINGS).fit(frame)


def equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("name", ["expanding", "sliding"])
def test_a_fold_is_a_training_on_what_was_known_at_its_first_cutoff(made, frame, name):
    """Written out for the second fold: cut the file there, split it so that val ends with it, and train."""
    refit = EVERY[name]
    whole = made.backtest(frame, refit=refit)
    equal(whole.drop(columns=[x for x in whole if x[0] in "pq"]), made.backtest(frame).iloc[:, :4])
    cutoffs = np.sort(whole["cutoff"].unique())
    first = pd.Timestamp(cutoffs[refit.every])
    stamps = np.sort(frame["ds"].unique())
    train, val = round(0.6 * ROWS), round(0.15 * ROWS)
    known = int((stamps <= first.to_datetime64()).sum())
    split = [str(pd.Timestamp(stamps[known - val])), str(pd.Timestamp(stamps[known]))]
    words = [*SETTINGS, f"data.split=[{split[0]!r},{split[1]!r}]", "trainer.enable_progress_bar=false"]
    words += [f"data.train_window={train}"] if refit.sliding else []
    alone = Forecaster(data="csv", context=24, horizon=HORIZON, overrides=words).fit(frame)
    rows = whole["cutoff"].isin(cutoffs[refit.every : 2 * refit.every])
    again = alone.backtest(frame)
    mine = whole[rows].reset_index(drop=True)
    theirs = again[again["cutoff"].isin(mine["cutoff"].unique())].reset_index(drop=True)
    equal(mine, theirs)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_after_a_cutoff_changes_a_forecast_made_by_then(made, frame, name):
    whole = made.backtest(frame, refit=EVERY[name])
    cutoff = np.sort(whole["cutoff"].unique())[EVERY[name].every + 1]
    for change in (lambda y: y * 50, lambda y: y.where(y.index % 3 > 0) + 1000):
        after = (frame["ds"] > cutoff) & (frame["ds"] < frame["ds"].max())
        other = made.backtest(frame.assign(y=frame["y"].where(~after, change(frame["y"]))), refit=EVERY[name])
        sides = [x[x["cutoff"] <= cutoff].drop(columns="y").reset_index(drop=True) for x in (whole, other)]
        equal(*sides)
        late = [x[x["cutoff"] > cutoff].filter(regex="point|q0").to_numpy() for x in (whole, other)]
        assert not np.array_equal(*late)


def test_a_model_that_learns_again_forecasts_the_same_rows_otherwise(made, frame):
    never, again = made.backtest(frame), made.backtest(frame, refit=Refit(2))
    assert not np.array_equal(never["point"], again["point"])
    equal(never.iloc[:, :4], again.iloc[:, :4])


def test_only_the_first_warm_fold_learns_for_all_epochs(made, frame, monkeypatch):
    epochs, learn = [], fold.learn

    def counted(settings, *given, **named):
        fitted = learn(settings, *given, **named)
        epochs.append(settings["trainer"]["max_epochs"])
        return fitted

    monkeypatch.setattr(fold, "learn", counted)
    made.backtest(frame, refit=Refit(2, warm=True, epochs=3))
    assert len(epochs) > 2
    assert epochs == [made.settings()["trainer"]["max_epochs"], *[3] * (len(epochs) - 1)]


def test_folds_keep_the_calendar_of_the_first_learning(monkeypatch):
    """Train grows beyond two weeks meanwhile; a weekday that only later folds had would not fit the weights."""
    rows = panel(series=1, rows=480, freq="h", seed=1)
    made, calendars, learn = Forecaster(data="csv", context=24, horizon=HORIZON, overrides=SETTINGS), [], fold.learn
    made.fit(rows)

    def seen(settings, panel, statistics, borders, *given, **named):
        calendars.append((borders[0] - int(panel.first[0]), statistics.calendar))
        return learn(settings, panel, statistics, borders, *given, **named)

    monkeypatch.setattr(fold, "learn", seen)
    made.backtest(rows, refit=Refit(4, warm=True))
    assert calendars[0][0] < 336 < calendars[-1][0] and {x for _, x in calendars} == {("hour",)}


def test_an_interrupted_backtest_goes_on_to_the_same_end(made, frame, tmp_path, monkeypatch):
    for name in ("expanding", "warm"):
        whole, kept = made.backtest(frame, refit=EVERY[name]), tmp_path / name
        learn, calls = fold.learn, []

        def stop(*given, learn=learn, calls=calls, **named):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return learn(*given, **named)

        with monkeypatch.context() as patch:
            patch.setattr(fold, "learn", stop)
            with pytest.raises(KeyboardInterrupt):
                made.backtest(frame, refit=EVERY[name], folder=kept)
            assert len(list(kept.glob("*.csv"))) == 1
            equal(made.backtest(frame, refit=EVERY[name], folder=kept), whole)
        done = len(calls)
        with monkeypatch.context() as patch:
            patch.setattr(fold, "learn", stop)
            equal(made.backtest(frame, refit=EVERY[name], folder=kept), whole)  # nothing is left to learn
        assert len(calls) == done == 1 + len(list(kept.glob("*.csv")))


def test_folds_of_another_backtest_are_refused_and_stay(made, frame, tmp_path):
    made.backtest(frame, refit=Refit(4), folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for other in (frame.assign(y=frame["y"] + 1), frame):
        with pytest.raises(Refusal, match="another backtest"):
            made.backtest(other, refit=Refit(4 if other is not frame else 5), folder=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_folds_learnt_at_once_are_the_same(made, frame):
    equal(made.backtest(frame, refit=Refit(2, jobs=2)), made.backtest(frame, refit=Refit(2)))


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"every": 1.5}, {"every": True}, {"jobs": 0}, {"warm": True, "jobs": 2}, {"epochs": 1}]
)
def test_an_impossible_refit_is_refused(options):
    with pytest.raises(Refusal, match=r"refit\.(every|jobs|warm|epochs)"):
        Refit(**options)


def test_series_split_one_by_one_are_refused(frame):
    made = Forecaster(data="csv", context=24, horizon=HORIZON, overrides=[*SETTINGS, "data.split_each=true"]).fit(frame)
    with pytest.raises(Refusal, match="split_each"):
        made.backtest(frame, refit=Refit(1))


def test_data_that_were_a_frame_have_to_be_passed_again(made):
    with pytest.raises(Refusal, match="DataFrame"):
        made.backtest(refit=Refit(1))


def test_a_fold_reads_back_as_it_was_with_names_and_zones(tmp_path):
    zoned = panel(series=2, rows=200, freq="h", seed=2)
    zoned["ds"] = pd.to_datetime(zoned["ds"]).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    zoned["unique_id"] = zoned["unique_id"].map(dict(zip(zoned["unique_id"].unique(), ["NA", "007"], strict=True)))
    made = Forecaster(data="csv", context=12, horizon=3, overrides=[*SETTINGS]).fit(zoned)
    again = made.backtest(zoned, refit=Refit(100), folder=Path(tmp_path))
    never = made.backtest(zoned)
    equal(again.iloc[:, :4], never.iloc[:, :4])
    assert set(again["unique_id"]) == {"NA", "007"}
