"""What forecasts rest on: the column that matters comes first, gradients are the forecast's, attention is shown."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import QUICK

from forecast import Forecaster, Refusal
from forecast.board.explanation import explained as drawn
from forecast.data.windows import Windows
from forecast.evaluation.group import steps
from forecast.explanation import columns, gradients, mixed
from forecast.model.base import Model

CONTEXT, HORIZON = 12, 4
QUIET = ("trainer.enable_progress_bar=false",)
LEARNT = ("trainer.max_epochs=8", "batch_size=32", "optimizer.lr=0.02", *QUIET)
COVARIATES = (
    "data.past=[wind]",
    "data.future=[plan,noise,kind]",
    "data.static=[size,place]",
    "data.categorical=[kind]",
)


def rows(series: int = 2) -> pd.DataFrame:
    """Series of very different sizes, in which only the plan of the same hour matters."""
    chance = np.random.default_rng(1)
    data = pd.DataFrame({"ds": np.tile(pd.date_range("2024-01-01", periods=400, freq="h"), series)})
    data["unique_id"] = np.repeat([f"s{i}" for i in range(series)], 400)
    for name in ("plan", "noise", "wind"):
        data[name] = chance.normal(size=len(data))
    data["kind"] = np.where(chance.random(len(data)) < 0.5, "a", "b")
    number = np.repeat(np.arange(series), 400)
    data["size"], data["place"] = number * 3.0, np.where(number % 2, "north", "south")
    data["y"] = 10.0**number * (5 + 2 * data["plan"] + 0.1 * chance.normal(size=len(data)))
    return data


def forecaster(*overrides: str, **given) -> Forecaster:
    return Forecaster(context=CONTEXT, horizon=HORIZON, overrides=[*COVARIATES, *overrides], **given)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return forecaster(*LEARNT, model="linear", normalizer="none").fit(rows())


@pytest.fixture(scope="module")
def windows(fitted) -> Windows:
    return fitted.origins(fitted.panel(None), 3).seeing(CONTEXT)


def test_the_column_that_matters_comes_first(fitted):
    found = fitted.explain(stride=2, repeats=6).set_index("column")
    assert dict(found["kind"]) == {
        "y": "target", "wind": "past", "plan": "future", "noise": "future", "kind": "future", "size": "static",
        "place": "static", "calendar": "calendar",
    }  # fmt: skip
    assert found["importance"].idxmax() == "plan" and found.loc["plan", "importance"] > 10 * found.loc["plan", "spread"]
    for name in ("noise", "wind", "kind"):
        rise, spread = found.loc[name, ["importance", "spread"]]
        assert abs(rise) < 0.02 * found.loc["plan", "importance"] and abs(rise) < 4 * spread + 1e-3, name


def test_importance_is_the_rise_of_the_error_of_forecasts_from_swapped_rows(fitted, windows):
    """Against shuffling by hand: the plan of other windows written into a batch, errors summed in a loop."""
    found = fitted.explain(stride=3, repeats=2, by_step=True)
    assert found.groupby("column", sort=False).size().tolist() == [HORIZON] * 8
    table = fitted.backtest(stride=3)
    deviation = dict(zip(["s0", "s1"], fitted.fitted.statistics.deviation[1:, 0], strict=True))
    error = (table["y"] - table["point"]).abs() / table["unique_id"].map(deviation)
    expected = error.groupby(1 + steps(table)).mean()
    assert found[found["column"] == "plan"]["error"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9)
    whole = fitted.explain(stride=3, repeats=2).set_index("column")
    mean = found.groupby("column")[["error", "importance"]].mean()  # as many errors at each step
    assert mean.loc[whole.index].to_numpy() == pytest.approx(whole[["error", "importance"]].to_numpy(), rel=1e-9)


def test_a_seed_gives_its_shuffles(fitted):
    one, same, two = (fitted.explain(stride=8, repeats=2, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert (one["importance"] != two["importance"]).any()


def test_a_column_comes_whole_and_nothing_else_with_it(fitted, windows):
    order = torch.arange(len(windows)).roll(7)
    numbers = torch.arange(len(windows))
    batch, other, model = windows.batch(numbers), windows.batch(order), fitted.fitted.model
    for column in columns(fitted.fitted, windows.panel):
        found = mixed(model, batch, other, column)
        found.check()
        for field in batch._fields:
            places = column.places.get(field.removesuffix("_observed"), [])
            rest = [i for i in range(getattr(batch, field).shape[-1]) if i not in places]
            before, after, theirs = (getattr(x, field) for x in (batch, found, other))
            assert torch.equal(before[..., rest] if places else before, after[..., rest] if places else after), field
            if places and field != "y":
                assert torch.equal(after[..., places], theirs[..., places]), (column.name, field)
        assert torch.equal(found.target, batch.target) and torch.equal(found.target_observed, batch.target_observed)
        if column.kind == "target":  # in the unit of the series that it comes to, however large
            z = [model.scaling.apply(*x) for x in ((found.y, batch.series), (other.y, other.series))]
            assert torch.allclose(*z, atol=1e-9)


def test_the_future_is_not_looked_at(windows, fitted, monkeypatch):
    """What the network sees does not change with the targets of the horizon, for any column and method."""
    honest = Windows.batch
    seen = []

    def spied(self, batch, levels):
        found = answer(self, batch, levels)
        seen.append(found[0])
        return found

    answer = Model.forecast
    monkeypatch.setattr(Model, "forecast", spied)
    base = fitted.explain(stride=8, repeats=2), fitted.explain(stride=8, method="gradients"), list(seen)
    seen.clear()
    monkeypatch.setattr(
        Windows, "batch", lambda *x: (lambda found: found._replace(target=found.target * 50))(honest(*x))
    )
    other = fitted.explain(stride=8, repeats=2), fitted.explain(stride=8, method="gradients"), list(seen)
    pd.testing.assert_frame_equal(base[1], other[1], check_exact=True)
    assert len(seen) == 17 and all(torch.equal(x, y) for x, y in zip(base[2], other[2], strict=True))
    assert (base[0]["error"] != other[0]["error"]).all()


def test_gradients_of_a_linear_network_add_up_to_the_forecast(fitted, windows):
    """Complete: with a bias, which is the forecast of zeros, and static covariates, which are no steps."""
    model = fitted.fitted.model
    found = gradients(fitted.fitted, windows, by_step=True)
    batches = [windows.batch(torch.nonzero(windows.series == i).flatten()) for i in (0, 1)]
    for name, batch in zip(("s0", "s1"), batches, strict=True):
        middle = model.scaling.invert(torch.zeros_like(batch.y), batch.series)
        empty = batch._replace(y=middle, past=torch.zeros_like(batch.past), future=torch.zeros_like(batch.future))
        with torch.inference_mode():
            expected = (model.forecast(batch, ())[0] - model.forecast(empty, ())[0]).mean(0)[:, 0]
        own = found[found["unique_id"] == name].groupby("step")["attribution"].sum()
        assert own.to_numpy() == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-4 * 10 ** int(name[1]))


SLOPES = {
    "direct": {"model": "direct", "backbone": "gru"},
    "segment": {},
    "attention": {"model": "direct", "backbone": "lstm", "overrides": ["model.pooling=attention", "model.skip=linear"]},
    "seq2seq": {"model": "seq2seq"},
    "log1p": {"model": "linear", "overrides": ["data.scaler=log1p"], "normalizer": "last"},
    "point": {"model": "autoregressive", "head": "point", "overrides": ["data.past=[]"]},
}


PLACES = [("y", None), ("y", -2), ("plan", 1), ("plan", -3), ("wind", -1), ("calendar", None)]


@pytest.mark.parametrize(("name", "level"), [(name, None) for name in SLOPES] + [("direct", 0.9)])
def test_gradients_are_those_of_the_forecast(name, level, monkeypatch):
    """Against finite differences of the forecast, when a column at some positions becomes a little larger."""
    given = dict(SLOPES[name])
    words = (*QUICK, *QUIET, "batch_size=256", *given.pop("overrides", ()))
    made = forecaster(*words, **given).fit(rows(series=1))
    model, windows = made.fitted.model.eval(), made.origins(made.panel(None), None).seeing(CONTEXT)
    table = gradients(made.fitted, windows, level=level)
    found, honest = {x.name: x for x in columns(made.fitted, windows.panel)}, model.normalized
    batch = windows.batch(torch.arange(len(windows)))

    def mean(column, position: int | None, factor: float) -> float:
        changed = {}
        for field in ("past", "future"):
            changed[field] = scaled(getattr(batch, field), column.places.get(field, []), position, factor)
        z = scaled(honest(batch).z, column.places.get("y", []), position, factor)
        monkeypatch.setattr(model, "normalized", lambda batch: honest(batch)._replace(z=z))
        with torch.inference_mode():
            point, spread = model.forecast(batch._replace(**changed), () if level is None else (level,))
        return float((point if level is None else spread[..., 0]).mean())

    for column, position in (x for x in PLACES if x[0] in found):
        own = table[table["column"] == column]
        own = own if position is None else own[own["position"] == position]
        slope = (mean(found[column], position, 1.005) - mean(found[column], position, 0.995)) / 0.01
        assert own["attribution"].sum() == pytest.approx(slope, abs=0.005 * own["size"].sum() + 2e-4), (
            column,
            position,
        )
        assert own["size"].sum() > 0


def scaled(x: torch.Tensor, places: list[int], position: int | None, factor: float) -> torch.Tensor:
    """Some columns times a factor, at all steps or one, counted from the first after the context."""
    found = x.clone()
    if places:
        found[:, slice(None) if position is None else CONTEXT + position, places] *= factor
    return found


@pytest.mark.parametrize("given", [{"model": "seq2seq"}, {"model": "direct", "overrides": ["model.pooling=attention"]}])
def test_attention_is_a_table_of_shares(given):
    made = forecaster(*QUICK, *QUIET, *given.get("overrides", ()), model=given.get("model")).fit(rows())
    found = made.explain(method="attention")
    assert len(found) == CONTEXT * HORIZON and set(found["position"]) == set(range(-CONTEXT, 0))
    assert found.groupby("step")["weight"].sum().to_numpy() == pytest.approx(np.ones(HORIZON), abs=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "atention"}, "did you mean 'attention'"),
        ({"method": "attention"}, "linear has no attention: train model=seq2seq"),
        ({"level": 0.5}, "level=0.5 is for method=gradients"),
        ({"repeats": 1}, "at least 2"),
        ({"method": "gradients", "level": 0.99}, "trained"),
    ],
)
def test_what_can_not_be_explained_is_refused(fitted, given, words):
    with pytest.raises(Refusal, match=words):
        fitted.explain(**given)


def test_paths_have_no_gradient():
    made = forecaster(*QUICK, *QUIET, "data.past=[]", "model.paths=5", model="autoregressive").fit(rows(series=1))
    with pytest.raises(Refusal, match="use method=importance"):
        made.explain(method="gradients")
    assert made.explain(repeats=2)["importance"].notna().all()


def test_of_classes_the_error_is_the_share_of_wrong_ones():
    made = forecaster(*QUICK, *QUIET, head="direction", normalizer="last").fit(rows(series=1))
    table, found = made.backtest(stride=1), made.explain(stride=1, repeats=2)
    assert found["error"].to_numpy() == pytest.approx((table["y"] != table["point"]).mean())
    with pytest.raises(Refusal, match="a forecast of classes has no gradient"):
        made.explain(method="gradients")


def test_every_table_is_drawn(fitted, tmp_path):
    """Bars in the order of importance, and a map of the columns that each other method tells."""
    table = fitted.explain(stride=8, repeats=2)
    axes = drawn(table, "test").axes[0]
    order = [text.get_text().split(" ")[0] for text in axes.get_yticklabels()][::-1]
    assert order == table.sort_values("importance", ascending=False)["column"].tolist()
    assert [bar.get_width() for bar in axes.patches] == sorted(table["importance"])
    for given in ({"by_step": True, "repeats": 2}, {"method": "gradients"}):
        figure = drawn(fitted.explain(stride=8, **given), "test")
        assert figure.axes[0].get_yticklabels()[0].get_text() == "plan (future)"
        figure.savefig(tmp_path / "drawn.png")
