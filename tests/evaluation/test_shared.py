"""What tables share: rows matched as instants, in the order of the first; what can't be matched is refused."""

import logging

import numpy as np
import pandas as pd
import pytest

from forecast.error import Refusal
from forecast.evaluation.shared import shared


def table(rows: int = 12, tz: str | None = None, begin: str = "2024-03-30") -> pd.DataFrame:
    ds = pd.date_range(begin, periods=rows, freq="h", tz=tz)
    y = np.arange(rows) + 1.0
    return pd.DataFrame({"unique_id": "a", "ds": ds, "cutoff": ds[0] - pd.Timedelta("1h"), "y": y, "point": y + 0.5})


def test_rows_that_are_not_in_all_are_left_out_and_counted(caplog):
    one, two, three = table(), table(10), table().iloc[3:].sample(frac=1, random_state=1)
    with caplog.at_level(logging.INFO, "forecast"):
        found = shared({"one": one, "two": two, "three": three})
    assert "5 of 12 of one, 3 of 10 of two, 2 of 9 of three" in caplog.text
    for each in found.values():
        pd.testing.assert_frame_equal(each, one.iloc[3:10].reset_index(drop=True))
    caplog.clear()
    shared(found)
    assert not caplog.text


SPELLINGS = {
    "as they are": lambda x: x,
    "text": lambda x: x.assign(ds=x["ds"].astype(str), cutoff=x["cutoff"].astype(str)),
    "T": lambda x: x.assign(ds=[y.isoformat() for y in x["ds"]], cutoff=[y.isoformat() for y in x["cutoff"]]),
    "other zone": lambda x: x.assign(**{n: x[n].dt.tz_convert("America/New_York") for n in ("ds", "cutoff")}),
    "UTC text": lambda x: x.assign(**{n: x[n].dt.tz_convert("UTC").astype(str) for n in ("ds", "cutoff")}),
    "seconds": lambda x: x.assign(ds=x["ds"].dt.as_unit("s")),
    "number as id": lambda x: x.assign(unique_id=7),
}


@pytest.mark.parametrize("how", SPELLINGS)
@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
def test_instants_are_matched_however_they_are_written(how, tz):
    """Over the spring night; a name is the same as text and as a number."""
    one = table(48, tz).assign(unique_id="7" if how == "number as id" else "a")
    if tz is None and how in ("other zone", "UTC text"):
        return
    other = SPELLINGS[how](one)
    found = shared({"one": one, "other": other.iloc[::-1]})
    pd.testing.assert_frame_equal(found["one"], one)
    assert found["other"]["y"].tolist() == one["y"].tolist()


def test_steps_may_be_numbers():
    one = table().assign(ds=range(12), cutoff=-1)
    assert len(shared({"one": one, "other": one.iloc[2:]})["one"]) == 10


def test_a_future_without_y_is_shared_too():
    assert len(shared({"one": table().assign(y=np.nan), "other": table().assign(y=np.nan)})["one"]) == 12


def test_y_may_have_been_rounded():
    one = table().assign(y=lambda x: x["y"] + 1 / 3)
    assert len(shared({"one": one, "other": one.assign(y=one["y"].astype("float32"))})["one"]) == 12


CLASSES = {"point": 0.0, "p_down": 0.5, "p_up": 0.5}
REFUSED = {
    "nothing shared": (table(begin="2030-01-01"), r"share no row.*one begins with a, 2024-03-30 00:00:00"),
    "a row twice": (pd.concat([table(), table().iloc[[4]]]), r"other has a, 2024-03-30 04:00:00.* twice"),
    "another y": (table().assign(y=lambda x: x["y"] * 1.01), r"don't forecast the same: at a, 2024-03-30.* y is"),
    "no time": (table().assign(ds="noon"), "'ds' of other: 'noon' is no time"),
    "half a zone": (
        table().assign(ds=lambda x: [f"{y}{'Z' * (i % 2)}" for i, y in enumerate(x["ds"])]),
        "some times say their offset",
    ),
    "a zone": (table(tz="UTC"), r"with a time zone can't be matched.*one has none, other has"),
    "classes": (table().assign(y=1.0, **CLASSES), "one is of values; other is of the classes down, up"),
    "no column": (table().drop(columns="cutoff"), "needs the column 'cutoff'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_can_not_be_matched_are_refused(case):
    other, words = REFUSED[case]
    with pytest.raises(Refusal, match=words):
        shared({"one": table(), "other": other})


def test_other_classes_are_refused():
    one = table().assign(y=1.0, **CLASSES)
    with pytest.raises(Refusal, match="one is of the classes down, up; other is of the classes down, north"):
        shared({"one": one, "other": one.rename(columns={"p_up": "p_north"})})
