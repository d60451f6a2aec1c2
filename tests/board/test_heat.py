"""Tests as text and as a picture: each number where it belongs, dark where the column is better."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from forecast.board.figure import FORECAST, png
from forecast.board.significance import heat, text

NAMES = ("bad", "good", "a-long-name-of-a-model")
HELD = pd.DataFrame({"model": [*NAMES[::2], "good"], "p": [0.0, 0.31, 1.0], "inside": [False, True, True]})


def every_pair(steps: int = 24) -> pd.DataFrame:
    """Of each pair p = 0.0001, 0.02, ... and as many significant steps as the pair's number."""
    pairs = [(row, column) for row in NAMES for column in NAMES if row != column]
    p = (0.0001, 0.02, 1.0, 0.9, 0.051, 0.049)
    rows = [(None, *pair, x) for pair, x in zip(pairs, p, strict=True)]
    rows += [(k, *pair, 0.01 if k <= i else 0.5) for i, pair in enumerate(pairs) for k in range(1, steps + 1)]
    made = pd.DataFrame(rows, columns=["step", "row", "column", "p"]).astype({"step": "Int64"})
    return made.assign(test="gw", loss="mae", cutoffs=728, statistic=0.0)


def test_the_text_says_each_number_in_its_place():
    lines = text(every_pair(), HELD, 0.05).split("\n")
    assert lines[:2] == [
        "Giacomini-White (conditional), loss mae, 728 cutoffs",
        "p that the column is no better than the row:",
    ]
    assert lines[2].split() == list(NAMES)
    assert [line.split() for line in lines[3:6]] == [
        ["bad", "<0.001", "0.020"],
        ["good", "1.000", "0.900"],
        [NAMES[2], "0.051", "0.049"],
    ]
    assert lines[7] == "of 24 steps, at how many the column is better (p < 0.05):"
    assert [line.split()[1:] for line in lines[9:12]] == [["0", "1"], ["2", "3"], ["4", "5"]]
    place = lines[2].index("good") + 4
    assert lines[3][:place].endswith("<0.001") and lines[5][:place].endswith("0.049")
    assert lines[-2:] == [f"model confidence set, 95%: good (1.000), {NAMES[2]} (0.310)", "left out: bad (<0.001)"]
    assert max(map(len, lines)) <= 120


def test_without_steps_there_is_one_table_and_one_panel():
    one = every_pair(steps=0)
    assert "steps" not in text(one, HELD, 0.05) and len(heat(one, HELD, 0.05).axes) == 1


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_picture_is_dark_where_the_column_is_better(level):
    left, right = heat(every_pair(), HELD, level).axes
    words = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in left.texts}
    assert words[0, 1] == "<0.001" and words[2, 0] == "0.051" and words[1, 1] == ""
    colours = np.asarray(left.images[0].get_array())
    np.testing.assert_allclose(colours[0, 1], to_rgb(FORECAST), atol=0.01)
    assert (colours[1, 0] == 1).all() and (colours[2, 0] == 1).all()  # not significant: white
    assert (colours[0, 2] < 1).any() == (level > 0.02)
    steps = np.asarray(right.images[0].get_array())[..., 0]
    assert right.get_title("left") == "significant steps of 24"
    if level == 0.05:
        assert steps[0, 1] > steps[0, 2] > steps[1, 0] > steps[2, 1]


def test_the_names_of_models_that_may_be_the_best_are_bold():
    left, _ = heat(every_pair(), HELD, 0.05).axes
    for labels in (left.get_xticklabels(), left.get_yticklabels()):
        assert [x.get_text() for x in labels] == list(NAMES)
        assert [x.get_fontweight() for x in labels] == ["normal", "bold", "bold"]


@pytest.mark.parametrize("count", [2, 12])
def test_names_and_numbers_fit_into_the_picture(count):
    names = [f"seq2seq-lstm-number-{i}" for i in range(count)]
    pairs = [(x, y) for x in names for y in names if x != y]
    found = pd.DataFrame(pairs, columns=["row", "column"]).assign(
        step=pd.array([None] * len(pairs), dtype="Int64"), p=0.5, test="dm", loss="mae", cutoffs=100
    )
    drawn = heat(found, pd.DataFrame({"model": names, "p": 1.0, "inside": True}), 0.05)
    assert png(drawn).startswith(b"\x89PNG")
    (axes,) = drawn.axes
    box = drawn.bbox
    for artist in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label):
        inside = artist.get_window_extent()
        assert inside.x0 >= box.x0 and inside.y0 >= box.y0 and inside.x1 <= box.x1 and inside.y1 <= box.y1
