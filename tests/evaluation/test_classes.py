"""Scores of classes against scikit-learn and counting; what is refused; the table of what was forecast as what."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from sklearn import metrics

from forecast.board.figure import fan
from forecast.board.summary import OF_CLASSES, summary
from forecast.error import Refusal
from forecast.evaluation.classes import confusion
from forecast.evaluation.metrics import by, compared, scores

NAMES = ("down", "flat", "up")


def table(rows: int = 60, seed: int = 1, certain: bool = False) -> pd.DataFrame:
    """A forecast table of classes; every seventh row is not observed."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), rows)
    p = np.eye(3)[p.argmax(1)] if certain else p
    y = np.where(np.arange(rows) % 7, rng.integers(0, 3, rows), np.nan)
    ds = pd.date_range("2024-01-01", periods=rows, freq="h")
    columns = {
        "unique_id": "a",
        "ds": ds,
        "cutoff": ds - pd.Timedelta("1h"),
        "y": y,
        "point": p.argmax(1).astype(float),
    }
    return pd.DataFrame(columns | {f"p_{name}": p[:, i] for i, name in enumerate(NAMES)})


def test_scores_are_those_of_scikit_learn_and_of_counting():
    found, seen = scores(table()), table().dropna()
    p, y = seen[[f"p_{name}" for name in NAMES]].to_numpy(), seen["y"].astype(int).tolist()
    point = seen["point"].astype(int).tolist()
    assert list(found) == ["accuracy", "f1", "log_loss", "brier"]
    assert found["accuracy"] == pytest.approx(sum(a == b for a, b in zip(y, point, strict=True)) / len(y))
    each = [metrics.f1_score([x == k for x in y], [x == k for x in point]) for k in range(3)]
    assert found["f1"] == pytest.approx(np.mean(each))
    assert found["log_loss"] == pytest.approx(-np.mean([np.log(p[i, k]) for i, k in enumerate(y)]))
    brier = np.mean([sum((p[i, j] - (j == k)) ** 2 for j in range(3)) for i, k in enumerate(y)])
    assert found["brier"] == pytest.approx(brier)


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_each_group_are_those_of_scikit_learn(seed):
    """Small groups, in which classes are missing among the true ones, the forecast ones or both."""
    mine = table(seed=seed).assign(unique_id=lambda x: np.random.default_rng(seed).choice(list("abcdefgh"), len(x)))
    found = by(mine, "unique_id")
    for name, part in mine.dropna().groupby("unique_id"):
        y, point, p = part["y"].astype(int), part["point"].astype(int), part[[f"p_{x}" for x in NAMES]].to_numpy()
        assert found.loc[name, "accuracy"] == pytest.approx(metrics.accuracy_score(y, point))
        assert found.loc[name, "f1"] == pytest.approx(metrics.f1_score(y, point, average="macro", zero_division=0))
        assert found.loc[name, "log_loss"] == pytest.approx(metrics.log_loss(y, p, labels=range(3)))
        assert found.loc[name, "brier"] == pytest.approx(metrics.brier_score_loss(y, p, labels=range(3)))
    assert set(found.index) == set(mine.dropna()["unique_id"])
    counts = mine.dropna()["unique_id"].value_counts()[found.index]
    for metric in ("accuracy", "log_loss", "brier"):
        assert np.average(found[metric], weights=counts) == pytest.approx(scores(mine)[metric])


def test_a_certain_forecast_that_is_wrong_has_a_finite_loss():
    found = scores(table(certain=True))
    assert np.isfinite(found["log_loss"]) and found["log_loss"] > 1 and found["brier"] > 0.5


def test_a_class_that_never_came_true_is_no_error_of_scoring():
    two = table().assign(y=lambda x: x["y"].clip(upper=1))
    assert 0 < scores(two)["f1"] < 1 and np.isfinite(scores(two)["log_loss"])


def test_skill_is_the_share_of_wrong_classes_that_is_gone():
    mine, other = table(seed=1), table(seed=1).assign(point=lambda x: (x["point"] + 1) % 3)
    found = compared({"mine": mine, "seasonal_naive": other}).pivot(index="metric", columns="model", values="value")
    wrong = 1 - found.loc["accuracy"]
    assert found.loc["skill", "mine"] == pytest.approx(1 - wrong["mine"] / wrong["seasonal_naive"])
    assert found.loc["skill", "seasonal_naive"] == 0 and "rmae" not in found.index
    assert set(OF_CLASSES) <= set(found.index) and all(words in summary_of(mine) for words in OF_CLASSES.values())


def summary_of(forecast: pd.DataFrame) -> str:
    return summary(compared({"mine": forecast}))


def test_the_table_of_confusion_counts_rows():
    found, seen = confusion(table()), table().dropna()
    assert found.index.tolist() == found.columns.tolist() == list(NAMES)
    for i, j in np.ndindex(3, 3):
        assert found.iloc[i, j] == ((seen["y"] == i) & (seen["point"] == j)).sum()
    assert found.to_numpy().sum() == len(seen)


def test_what_came_true_is_drawn_as_a_table_and_the_future_as_probabilities():
    true, future = fan(table(), "any"), fan(table().assign(y=np.nan), "any")
    cells = [text.get_text().split("\n")[0] for text in true.axes[0].texts]
    assert true.get_label() == "confusion" and cells == [f"{x:,}" for x in confusion(table()).to_numpy().ravel()]
    bars, legend = [x for x in future.axes[0].patches if isinstance(x, Rectangle)], future.axes[0].get_legend()
    assert future.get_label() != "confusion" and len(bars) == 3 * len(table())
    assert sum(bar.get_height() for bar in bars) == pytest.approx(len(table()))
    assert legend is not None and [x.get_text() for x in legend.get_texts()] == list(NAMES)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"y": 1.5}, "not-a-class", "row 1 .*1.5 in 'y'.* 0 to 2"),
        ({"y": 3.0}, "not-a-class", "3 in 'y'"),
        ({"y": -1.0}, "not-a-class", "-1 in 'y'"),
        ({"y": 1.0, "point": 0.5}, "not-a-class", "0.5 in 'point'"),
        ({"y": 1.0, "p_up": 0.99}, "not-a-number", "sum 1"),
        ({"y": 1.0, "p_up": np.nan}, "not-a-number", "sum 1"),
        ({"y": 1.0, "p_up": "high"}, "not-a-number", "'high' in 'p_up'"),
    ],
)
def test_a_table_that_holds_no_classes_is_refused(changes, code, says):
    with pytest.raises(Refusal, match=says) as refusal:
        scores(table().assign(**changes))
    assert refusal.value.code == code


def test_negative_probabilities_are_refused():
    with pytest.raises(Refusal, match="sum 1"):
        scores(table().assign(y=1.0, p_down=-0.5, p_flat=0.5, p_up=1.0))
