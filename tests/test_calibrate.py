"""Calibration and paths of a forecaster: learnt on validation, kept, never from what came after a cutoff."""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from conftest import QUICK

from forecast import Forecaster, Refusal, build, learning
from forecast.config import composed
from forecast.data.synthetic import panel

CONTEXT, HORIZON = 48, 12
METHODS = {
    "split": ["calibrate=split"],
    "cqr": ["calibrate=cqr", "calibrate.by=hour"],
    "online": ["calibrate=online", "calibrate.rate=0.2"],
    "each level": ["calibrate=online", "calibrate.symmetric=false", "calibrate.pooled=false", "calibrate.by=null"],
}


def frame() -> pd.DataFrame:
    return panel(series=3, rows=480, freq="h", seed=1)


def forecaster(*overrides: str, **arguments) -> Forecaster:
    return Forecaster(context=CONTEXT, horizon=HORIZON, overrides=[*QUICK, *overrides], **arguments)


@cache
def fitted(*overrides: str) -> Forecaster:
    return forecaster(*overrides).fit(frame())


def numbers(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name == "point" or name.startswith("q")]


CHANGES = {"other": lambda y: y * 50 + 7, "missing": lambda y: y * np.nan}


@pytest.mark.parametrize("method", METHODS)
def test_nothing_after_a_cutoff_changes_a_calibrated_forecast(method):
    """Horizons overlap: at each cutoff the forecasts before it have come true in part only."""
    made, data = fitted(*METHODS[method]), frame()
    before = made.backtest(data, stride=5)
    last = data["ds"] == data["ds"].max()  # keeps the windows that there were
    for cutoff in before["cutoff"].unique()[[0, 1, 6]]:
        late, upto = (data["ds"] > cutoff) & ~last, before["cutoff"] <= cutoff
        for change in CHANGES.values():
            after = made.backtest(data.assign(y=data["y"].mask(late, change(data["y"]))), stride=5)
            pd.testing.assert_frame_equal(
                before[upto].drop(columns="y"), after[upto].drop(columns="y"), check_exact=True
            )
            assert not np.array_equal(before[numbers(before)], after[numbers(before)])


def test_too_few_rows_for_a_level_are_refused_before_training(monkeypatch):
    monkeypatch.setattr(learning, "alike", lambda *_: pytest.fail("it trains"))
    with pytest.raises(Refusal, match=r"observed rows are too few to calibrate levels .* needs 99999"):
        forecaster("calibrate=split", "head.levels=[0.000005,0.5,0.999995]").fit(frame())


def test_online_follows_what_came_true_and_the_others_do_not():
    """The network sees only its context: changed values before it reach a forecast through calibration alone."""
    data = frame()
    for method in METHODS:
        made = fitted(*METHODS[method])
        before = made.backtest(data)
        early = (data["ds"] > before["cutoff"].min()) & (data["ds"] <= before["cutoff"].min() + pd.Timedelta("6h"))
        after = made.backtest(data.assign(y=data["y"].mask(early, data["y"] + 500)))
        late = before["cutoff"] > before["cutoff"].min() + pd.Timedelta(CONTEXT + HORIZON, "h")
        same = np.array_equal(before.loc[late, numbers(before)], after.loc[late, numbers(before)])
        assert late.any() and same == (made.fitted.calibration.rate is None)


@pytest.mark.parametrize("method", METHODS)
def test_test_rows_teach_nothing_at_fitting(method):
    data, base = frame(), fitted(*METHODS[method]).fitted
    test = base.layout.clock.stamps(np.array([base.borders[1]]))[0]
    hidden = (data["ds"] >= test) & (data["ds"] < data["ds"].max())
    poisoned = forecaster(*METHODS[method]).fit(data.assign(y=data["y"].mask(hidden, 1e6))).fitted
    assert poisoned.calibration.plain() == base.calibration.plain()
    other = data.assign(y=data["y"].mask((data["ds"] < test) & (data["ds"] >= test - pd.Timedelta("9h")), 1e6))
    assert forecaster(*METHODS[method]).fit(other).fitted.calibration.plain() != base.calibration.plain()


def test_what_the_gap_hides_from_the_first_test_forecast_teaches_nothing():
    """The last `gap` values of validation are not known yet when that is made."""
    data = frame()
    base = forecaster("calibrate=cqr", gap=3).fit(data)
    first, test = base.backtest(data)["cutoff"].min(), base.fitted.borders[1]
    late = base.fitted.layout.clock.ordinals(pd.DatetimeIndex(data["ds"]))
    for steps, same in ((3, True), (4, False)):
        hidden = (late >= test - steps) & (late < test)
        assert (data["ds"][hidden].min() > first) == same
        other = forecaster("calibrate=cqr", gap=3).fit(data.assign(y=data["y"].mask(hidden, 1e4)))
        assert (other.fitted.calibration.plain() == base.fitted.calibration.plain()) == same


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_forecaster_calibrates_to_the_same_bit(method, tmp_path):
    made, data = fitted(*METHODS[method]), frame()
    made.save(tmp_path / "kept")
    again = Forecaster.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(made.backtest(data), again.backtest(data), check_exact=True)
    pd.testing.assert_frame_equal(made.predict(data), again.predict(data), check_exact=True)
    pd.testing.assert_frame_equal(made.paths(data, n=7), again.paths(data, n=7), check_exact=True)
    assert json.loads((tmp_path / "kept" / "forecaster.json").read_text())["calibration"] is not None


def test_a_forecaster_saved_without_calibration_is_read(tmp_path):
    made = fitted("calibrate=none")
    made.save(tmp_path / "kept")
    assert made.fitted.calibration is None and Forecaster.load(tmp_path / "kept").fitted.calibration is None


@pytest.mark.parametrize("method", METHODS)
def test_scores_hold_the_forecasts_with_and_without(method):
    made, data = fitted(*METHODS[method]), frame()
    found = made.judge(data)
    assert list(found.forecasts) == ["segment-gru", "segment-gru (uncalibrated)", "seasonal_naive"]
    assert list(found.scores["model"].unique()) == list(found.forecasts)
    pd.testing.assert_frame_equal(found.forecasts["segment-gru"], made.backtest(data), check_exact=True)
    plain = fitted("calibrate=none").backtest(data)
    pd.testing.assert_frame_equal(found.forecasts["segment-gru (uncalibrated)"], plain, check_exact=True)
    assert not found.forecasts["segment-gru"][numbers(plain)].equals(plain[numbers(plain)])


@pytest.mark.parametrize("method", ["online", "each level"])
def test_predicting_goes_on_where_a_backtest_has_come_to(method):
    """The forecast of the last origin is the same (but for the rounding of a batch), be its future there or not."""
    made, data = fitted(*METHODS[method]), frame()
    whole = made.backtest(data)
    end = whole["cutoff"].max()
    last = whole[whole["cutoff"] == end].reset_index(drop=True)
    found = made.predict(data[data["ds"] <= end])
    assert (found["cutoff"] == end).all() and len(found) == len(last)
    np.testing.assert_allclose(found[numbers(found)], last[numbers(found)], rtol=1e-6)
    plain = made.fitted.forecast(made.origins(made.panel(data), None))
    fixed = made.fitted.calibrated(plain[plain["cutoff"] == end], made.panel(data)).reset_index(drop=True)
    assert (found["q0.9"] - fixed["q0.9"]).abs().max() > 0.1  # more than validation alone had taught


@pytest.mark.parametrize("method", ["online", "each level"])
def test_a_forecast_from_a_cutoff_is_that_of_a_file_which_ends_there(method):
    """At an origin of the backtest, and between two, where only some steps of a forecast have come true."""
    made, data = fitted(*METHODS[method]), frame()
    whole = made.backtest(data)
    end = whole["cutoff"].max()
    for cutoff in (end, end - pd.Timedelta("4h"), end - pd.Timedelta("7h")):
        found, cut = made.predict(data, cutoffs=[cutoff]), made.predict(data[data["ds"] <= cutoff])
        np.testing.assert_allclose(found[numbers(found)], cut[numbers(cut)], rtol=1e-6)
    origin = made.predict(data, cutoffs=[end])
    np.testing.assert_allclose(origin[numbers(origin)], whole.loc[whole["cutoff"] == end, numbers(origin)], rtol=1e-6)


def test_a_point_forecast_gets_quantiles():
    made, data = forecaster("calibrate=split", "calibrate.levels=[0.05,0.5,0.95]", head="point").fit(frame()), frame()
    found = made.backtest(data)
    assert [name for name in found.columns if name.startswith("q")] == ["q0.05", "q0.5", "q0.95"]
    assert (found["q0.05"] < found["point"]).all() and (found["q0.5"] == found["point"]).all()
    assert made.paths(data, n=5).shape == (3 * HORIZON, 8)
    online = forecaster("calibrate=online", "calibrate.around=point", head="point").fit(frame())
    assert online.backtest(data).filter(regex="^q").shape[1] == 9


def test_bounds_hold_after_calibration():
    low, high = frame()["y"].quantile([0.3, 0.7])
    made = forecaster("calibrate=split", f"data.min={low}", f"data.max={high}").fit(frame())
    found = pd.concat([made.backtest(frame()), made.predict(frame())])[numbers(made.predict(frame()))]
    assert found.min().min() == low and found.max().max() == high
    paths = made.paths(frame(), n=50).filter(like="sample_")
    assert paths.min().min() == low and paths.max().max() == high


def test_levels_lie_between_those_that_were_calibrated():
    made = fitted(*METHODS["cqr"])
    found, known = made.backtest(frame(), levels=[0.15, 0.9]), made.backtest(frame())
    np.testing.assert_allclose(found["q0.15"], (known["q0.1"] + known["q0.2"]) / 2)
    assert found["q0.9"].equals(known["q0.9"])
    with pytest.raises(Refusal, match="outside"):
        made.predict(frame(), levels=[0.95])


def test_calibrated_joint_channels_have_offsets_of_their_own_scale():
    """Channels of one series are calibrated as series are, each in its own unit."""
    wide = frame().pivot(index="ds", columns="unique_id", values="y").mul([1, 1000, 1]).reset_index()
    wide.columns.name = None
    made = forecaster("calibrate=split", "data.joint=true", "data.target=[s0,s1,s2]").fit(wide)
    found = made.judge(wide).forecasts["segment-gru"]
    inside = (found["q0.1"] <= found["y"]) & (found["y"] <= found["q0.9"])
    assert found["unique_id"].nunique() == 3 and inside.groupby(found["unique_id"]).mean().min() > 0.5


def test_paths_are_those_of_the_forecast_and_of_the_past():
    made, data = fitted(*METHODS["cqr"]), frame()
    found, known = made.paths(data, n=99), made.predict(data)
    pd.testing.assert_frame_equal(found[["unique_id", "ds", "cutoff"]], known[["unique_id", "ds", "cutoff"]])
    values = np.sort(found.filter(like="sample_").to_numpy(), 1)
    np.testing.assert_allclose(values[:, 49], known["q0.5"], rtol=1e-12)
    pd.testing.assert_frame_equal(found, made.paths(data, n=99), check_exact=True)
    assert not found.equals(made.paths(data, n=99, seed=5))
    later = data["ds"] > data["ds"].iloc[400]
    pd.testing.assert_frame_equal(
        made.paths(data[~later], n=9), made.paths(data.assign(y=data["y"].mask(later)), n=9), check_exact=True
    )


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["calibrate=split", "calibrate.by=day"], "calibrate.by"),
        (["calibrate=split", "calibrate.pooled=1"], "calibrate.pooled"),
        (["calibrate=online", "calibrate.rate=2"], "calibrate.rate=2"),
        (["calibrate=online", "calibrate.rate=0.0"], "calibrate.rate=0.0"),
        (["calibrate=split", "calibrate.levels=[0.5,0.1]"], "calibrate.levels"),
        (["calibrate=split", "calibrate.around=mean"], "calibrate.around"),
        (["calibrate=cqr", "head=point"], "calibrate=split, or calibrate.around=point"),
        (["calibrate=split", "head=direction", "normalizer=[last]", "model.skip=none"], "calibrate=none"),
        (["calibrate=cqrs"], "did you mean|no such part"),
        (["calibrate.name=conformal"], "expected one of none, split, cqr, online"),
    ],
)
def test_refusals(words, given):
    with pytest.raises(Refusal, match=given):
        build.check(composed("train", words))


def test_refusals_of_paths():
    with pytest.raises(Refusal, match="n=0"):
        fitted(*METHODS["cqr"]).paths(frame(), n=0)
    with pytest.raises(Refusal, match="two at least"):
        forecaster(head="point").fit(frame()).paths(frame())
    short = frame().groupby("unique_id").head(CONTEXT)
    with pytest.raises(Refusal, match="has 1 past trajectories"):
        fitted(*METHODS["cqr"]).paths(short.assign(y=short["y"].mask(short["ds"] == short["ds"].iloc[5])))
