"""What is drawn of a sweep: the numbers of its table."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from forecast.board.trials import front, history, importance

TABLE = pd.DataFrame(
    {
        "job": ["3", "0", "10", "1", "2"],
        "val/mae": [0.2, 0.5, 0.6, np.nan, np.nan],
        "seconds": [9.0, 4.0, 2.0, np.nan, np.nan],
        "state": ["done", "done", "done", "pruned", "failed"],
        "front": [True, False, True, False, False],
    }
)


def drawn(draw, *given) -> dict:
    axes = Figure().subplots()
    draw(axes, *given)
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_history_is_in_the_order_of_jobs_and_never_rises():
    lines = drawn(history, TABLE, "val/mae")
    assert lines["best so far"] == ([0, 1, 2, 3, 10], [0.5, 0.5, 0.5, 0.2, 0.2])
    assert lines["done"] == ([0, 3, 10], [0.5, 0.2, 0.6])
    assert lines["pruned"][0] == [1] and lines["failed"][0] == [2]


def test_importance_has_the_largest_share_on_top():
    axes = Figure().subplots()
    importance(axes, pd.Series({"optimizer.lr": 0.75, "seed": 0.25}), "val/mae")
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.75]
    assert [x.get_text() for x in axes.get_yticklabels()] == ["seed", "optimizer.lr"]
    assert {x.get_text() for x in axes.texts} == {"75%", "25%"}


def test_the_front_is_joined_and_named():
    lines = drawn(front, TABLE, "val/mae", "seconds")
    assert lines["job"][0] == [2, 4, 9] and lines["not beaten"] == ([2, 9], [0.6, 0.2])


@pytest.mark.parametrize("rows", [1, 2])
def test_few_jobs_are_drawn_too(rows):
    assert drawn(history, TABLE[:rows], "val/mae") and drawn(front, TABLE[:rows], "val/mae", "seconds")
