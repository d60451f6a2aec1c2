"""A forecaster that is told one row after the other says what predict says on all of them; and it can learn on."""

import numpy as np
import pandas as pd
import polars
import pytest
import torch
from conftest import QUICK

from forecast import Forecaster, Refusal
from forecast.data.synthetic import panel
from forecast.live import SPARE, Live
from forecast.memory import Memory

CONTEXT, HORIZON, ROWS, NEW = 24, 6, 300, 40


def frame(columns: bool = True, series: int = 1) -> pd.DataFrame:
    made = panel(series=series, rows=ROWS + NEW + HORIZON, freq="h", seed=3)
    rng = np.random.default_rng(3)
    if columns:
        made["plan"], made["wind"] = rng.normal(size=len(made)), rng.normal(size=len(made))
    return made if series > 1 else made.drop(columns="unique_id")


def fitted(rows: pd.DataFrame, *overrides: str) -> Forecaster:
    settings = [*QUICK, *overrides]
    return Forecaster(data="csv", context=CONTEXT, horizon=HORIZON, overrides=settings).fit(rows)


LAW = ("data.scaler=none", "normalizer=[mean]")
COLUMNS = ("data.past=[wind]", "data.future=[plan]")
KINDS = {
    "alone": ((), (), False),
    "columns": (COLUMNS, (), True),
    "joint": (("data.target=[y,wind]", "data.joint=true"), (), True),
    "zone": ((), ("zone",), False),
    "calibrated": (("calibrate=split",), (), False),  # these three go the whole road
    "season": (("data.fill=season",), (), False),
    "masks": (("data.observed=true",), (), False),
}
QUICKLY = ("alone", "columns", "joint", "zone")


def made(kind: str) -> tuple[Forecaster, pd.DataFrame]:
    overrides, options, columns = KINDS[kind]
    rows = frame(columns)
    if "zone" in options:
        rows["ds"] = rows["ds"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    return fitted(rows[:ROWS], *overrides), rows


def until(rows: pd.DataFrame, known: int, ahead: int) -> pd.DataFrame:
    """The first rows, then only the plan."""
    given = rows[: known + (ahead if "plan" in rows else 0)].copy()
    given.loc[given.index[known:], [x for x in ("y", "wind") if x in given]] = np.nan
    return given


def told(rows: pd.DataFrame, known: int) -> list[dict]:
    """What is news after a row: its values, and the plan of the last step of the horizon."""
    names = list(rows.columns)
    now = dict(zip(names, rows.iloc[known].tolist(), strict=True))
    later = {**dict(zip(names, rows.iloc[known + HORIZON].tolist(), strict=True)), "y": None, "wind": np.nan}
    return [now, later] if "plan" in rows and "wind" in rows else [now]


@pytest.mark.parametrize(
    "kind", [pytest.param(x, marks=[pytest.mark.slow] * (x in ("masks", "season"))) for x in KINDS]
)
def test_what_it_says_after_each_row_is_what_predict_says_on_all(kind):
    forecaster, rows = made(kind)
    plan = kind == "columns"
    rows = rows if plan or kind == "joint" else rows.drop(columns=["plan", "wind"], errors="ignore")
    first = forecaster.observe(until(rows, ROWS + 1, HORIZON if plan else 0)[ROWS:])
    other = Forecaster.of(forecaster.fitted.config)
    other.fitted_ = forecaster.fitted
    pd.testing.assert_frame_equal(first, other.predict(until(rows, ROWS + 1, HORIZON if plan else 0)), check_exact=True)
    for known in range(ROWS + 1, ROWS + NEW):
        news = told(rows, known) if plan else told(rows, known)[:1]
        found = forecaster.observe(news)
        assert (len(forecaster.memory.told) > 0) == (kind in QUICKLY)
        if known % 13 == 0 or known == ROWS + NEW - 1:
            whole = until(rows, known + 1, HORIZON if plan else 0)
            pd.testing.assert_frame_equal(found, other.predict(whole), check_exact=True)


def test_what_the_quick_road_can_not_do_goes_the_whole_one():
    """A gap, an empty cell, a row of text, several rows at once, the end of the spare rows: all as predict has it."""
    forecaster, rows = made("alone")
    forecaster.observe(rows[ROWS : ROWS + 1])
    steps = [[ROWS + 1], [ROWS + 4], [ROWS + 5, ROWS + 6], [ROWS + 7]]
    kept = [*range(ROWS + 1), *(x for step in steps for x in step)]
    for i, step in enumerate(steps):
        news = rows.iloc[step].assign(ds=rows["ds"].iloc[step].astype(str)).to_dict("records")
        if i == 3:
            news[0]["y"] = None
        seen = rows.iloc[[x for x in kept if x <= step[-1]]]
        seen = seen.assign(y=seen["y"].where(seen.index != ROWS + 7))
        pd.testing.assert_frame_equal(forecaster.observe(news), forecaster.predict(seen), check_exact=True)
    assert forecaster.memory.live is not None
    live = forecaster.memory.live
    live.place = live.windows.window.context + SPARE
    stamp = live.stamps[live.place]
    assert live.observe([{"ds": stamp, "y": 1.0}]) is None


def test_a_loaded_forecaster_takes_the_first_rows_as_its_past(tmp_path):
    forecaster, rows = made("alone")
    forecaster.save(tmp_path / "kept")
    loaded = Forecaster.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(loaded.observe(rows[:200]), forecaster.predict(rows[:200]), check_exact=True)
    found = loaded.observe({"ds": rows["ds"][200], "y": rows["y"][200]})
    pd.testing.assert_frame_equal(found, forecaster.predict(rows[:201]), check_exact=True)
    found = Forecaster.load(tmp_path / "kept").observe(polars.from_pandas(rows[:200]))
    assert isinstance(found, polars.DataFrame)


def test_several_series_are_told_together():
    rows = frame(False, 2)
    number = rows.groupby("unique_id").cumcount()
    forecaster = fitted(rows[number < ROWS])
    for known in (ROWS, ROWS + 1):
        found = forecaster.observe(rows[number == known])
        pd.testing.assert_frame_equal(found, forecaster.predict(rows[number <= known]), check_exact=True)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", ["alone", "columns", "joint", "calibrated"])
def test_by_onnx_it_says_the_same(kind):
    """Within 1e-5 standard deviations; also after learning on, which needs another graph."""
    forecaster, rows = made(kind)
    plan = kind == "columns"
    rows = rows if plan or kind == "joint" else rows.drop(columns=["plan", "wind"], errors="ignore")
    forecaster.observe(until(rows, ROWS + 1, HORIZON if plan else 0)[ROWS:], onnx=True)
    for known in range(ROWS + 1, ROWS + 10):
        if known == ROWS + 5:
            forecaster.update(epochs=1)
        found = forecaster.observe(told(rows, known) if plan else told(rows, known)[:1], onnx=True)
        wanted = forecaster.predict(until(rows, known + 1, HORIZON if plan else 0))
        pd.testing.assert_frame_equal(found, wanted, rtol=0, atol=1e-5 * float(rows["y"].std()))
        assert (len(forecaster.memory.told) > 0) == (kind in QUICKLY and known != ROWS + 5)
        quick = forecaster.memory.live
        if quick is not None and quick.session is not None:
            other, _ = quick.answered(quick.windows.batch(torch.tensor([1])))
            quick.session = None
            assert not np.array_equal(other, quick.answered(quick.windows.batch(torch.tensor([1])))[0])  # another road
            quick.session = forecaster.memory.session
    found = forecaster.observe(told(rows, ROWS + 10) if plan else told(rows, ROWS + 10)[:1])
    wanted = forecaster.predict(until(rows, ROWS + 11, HORIZON if plan else 0))
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wind": ...}, "no column 'wind'"),
        ({"ds": "2020-01-01 00:00"}, "duplicate"),
        ({"ds": "2030-01-01 00:30"}, "grid"),
        ({"y": "much"}, "much"),
        ({"plan": None}, "not known"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_nothing_is_kept(change, words):
    forecaster, rows = made("columns")
    forecaster.observe(until(rows, ROWS + 1, HORIZON)[ROWS:])
    news = told(rows, ROWS + 1)
    row = {key: value for key, value in {**news[0], **change}.items() if value is not ...}
    if change == {"ds": "2020-01-01 00:00"}:
        row["ds"] = rows["ds"][3]
    later = [] if "plan" in change else news[1:]
    with pytest.raises(Refusal, match=words):
        forecaster.observe([row, *later])
    found = forecaster.observe(news)
    pd.testing.assert_frame_equal(found, forecaster.predict(until(rows, ROWS + 2, HORIZON)), check_exact=True)


def test_a_known_future_that_was_told_in_a_refused_call_is_forgotten():
    """Forecasts that need it lack it afterwards, as they do where it was never told."""
    forecaster, rows = made("columns")
    forecaster.observe(until(rows, ROWS + 1, HORIZON)[ROWS:])
    (now, later), (then, beyond) = told(rows, ROWS + 1), told(rows, ROWS + 2)
    with pytest.raises(Refusal, match="'plan' is not known"):
        forecaster.observe([now, then, beyond | {"plan": 9.0}])
    forecaster.observe([now, later])
    with pytest.raises(Refusal, match="'plan' is not known"):
        forecaster.observe([then])
    found = forecaster.observe([then, beyond])
    pd.testing.assert_frame_equal(found, forecaster.predict(until(rows, ROWS + 3, HORIZON)), check_exact=True)


def test_what_the_scaler_has_no_number_for_is_refused_and_not_kept():
    rows = frame()
    rows["y"] = rows["y"] - rows["y"].min() + 1
    forecaster = fitted(rows[:ROWS], "data.scaler=log1p")
    first = forecaster.observe(rows[ROWS : ROWS + 1])
    news = rows.iloc[ROWS + 1].to_dict()
    with pytest.raises(Refusal, match="log1p takes values above -1"):
        forecaster.observe({**news, "y": -50.0})
    assert np.isfinite(forecaster.observe(news)["point"]).all() and np.isfinite(first["point"]).all()


def test_what_comes_after_a_row_changes_no_forecast_made_before():
    """The quick road reads a panel that is written in place: the known future may change what follows, y never."""
    forecaster, rows = made("columns")
    forecaster.observe(until(rows, ROWS + 1, HORIZON)[ROWS:])
    assert forecaster.memory.live is not None
    before = forecaster.observe(told(rows, ROWS + 1))
    live: Live = forecaster.memory.live
    live.panel.y[live.place :], live.panel.past[live.place :] = 1e9, 1e9
    live.panel.future[live.place + HORIZON :] = 1e9
    pd.testing.assert_frame_equal(live.forecast(live.place), before, check_exact=True)
    live.panel.y[live.place - 1] += 1
    assert not live.forecast(live.place)["point"].equals(before["point"])


# learning on


def test_an_update_learns_the_new_rows_and_forgets_none_of_what_it_has_to_keep():
    forecaster, rows = made("alone")
    old, before = forecaster.fitted, forecaster.predict(rows)
    moved = rows.assign(y=rows["y"] + 5 * rows["y"].std() * (rows.index >= ROWS - 100))
    assert forecaster.update(moved[ROWS:], epochs=2) is forecaster
    new = forecaster.fitted
    assert new.config == old.config
    assert new.statistics is old.statistics
    assert new.record["epochs"] == 2
    train, val, test = new.borders
    assert (train, val) == tuple(
        x + NEW + HORIZON + ROWS - (old.borders[1] - old.panel.first[0]) for x in old.borders[:2]
    )
    assert test is None
    assert not forecaster.predict(rows)["point"].equals(before["point"])
    pd.testing.assert_frame_equal(forecaster.predict(), forecaster.predict(pd.concat([rows[:ROWS], moved[ROWS:]])))
    with pytest.raises(Refusal, match="too short for a window in test"):
        forecaster.backtest()


def test_a_season_that_turned_is_learnt():
    """An update that learnt nothing would not come nearer than the model before."""
    rows = frame(False)
    turned = rows.assign(y=(2 * rows["y"].mean() - rows["y"]).where(rows.index >= ROWS // 2, rows["y"]))
    options = ("trainer.max_epochs=8", "trainer.limit_train_batches=1.0", "backbone.hidden_size=16", "batch_size=32")
    forecaster = fitted(rows[:ROWS], *options)

    def error() -> float:
        table = forecaster.predict(turned, cutoffs=list(turned["ds"][ROWS : ROWS + NEW]))
        return float((table["point"] - table["y"]).abs().mean())

    before = error()
    forecaster.memory = Memory(turned[:ROWS])
    forecaster.update(turned[ROWS : ROWS + NEW // 2], epochs=8)
    assert error() < 0.7 * before


def test_an_update_refuses_what_the_law_does_not_know():
    rows = frame().assign(y=lambda x: x["y"] - x["y"].min() + 1)
    forecaster = Forecaster(data="csv", context=CONTEXT, horizon=HORIZON, head="lognormal", overrides=[*QUICK, *LAW])
    forecaster.fit(rows[:ROWS])
    with pytest.raises(Refusal, match="numbers above 0"):
        forecaster.update(rows[ROWS:].assign(y=-5.0), epochs=1)


def test_an_update_that_is_refused_leaves_the_forecaster_as_it_was():
    forecaster, rows = made("alone")
    old = forecaster.predict(rows)
    for given in ({"epochs": 0}, {"epochs": 1, "rows": rows[ROWS - 1 :]}):
        with pytest.raises(Refusal):
            forecaster.update(**given)
    pd.testing.assert_frame_equal(forecaster.predict(rows), old, check_exact=True)
