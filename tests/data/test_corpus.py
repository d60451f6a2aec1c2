"""Files as people have them: each is read exactly, or refused with the code and the words that help. None is ever
changed without a word."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.config import CONF
from forecast.data.reader import read
from forecast.data.table import table
from forecast.error import Refusal

DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())
HERE = Path(__file__).parent / "corpus"
INDEX = yaml.safe_load((HERE / "index.yaml").read_text())


def loaded(name: str) -> pd.DataFrame:
    data = DATA | INDEX[name].get("data", {})
    return table(read(HERE / name, data), data, str(HERE / name)).frame


def test_every_file_of_the_corpus_is_in_its_index():
    assert {path.name for path in HERE.iterdir()} - {"index.yaml"} == set(INDEX) and len(INDEX) >= 60
    assert all(("table" in entry) != ("code" in entry) for entry in INDEX.values()), json.dumps(INDEX)


@pytest.mark.parametrize("name", [name for name, entry in INDEX.items() if "table" in entry])
def test_a_file_that_can_be_read_is_read_exactly(name):
    found, expected = loaded(name), INDEX[name]["table"]
    assert found["unique_id"].tolist() == [row[0] for row in expected]
    stamps = [pd.Timestamp(row[1]) for row in expected]
    assert found["ds"].tolist() == stamps and [x.utcoffset() for x in found["ds"]] == [x.utcoffset() for x in stamps]
    np.testing.assert_array_equal(found["y"], [np.nan if row[2] is None else row[2] for row in expected])


@pytest.mark.parametrize("name", [name for name, entry in INDEX.items() if "code" in entry])
def test_a_file_that_cannot_be_read_is_refused_with_its_place_and_a_remedy(name):
    with pytest.raises(Refusal) as refusal:
        loaded(name)
    assert refusal.value.code == INDEX[name]["code"], str(refusal.value)
    words = [*INDEX[name].get("says", []), *([] if refusal.value.code == "config" else [name])]
    assert not [word for word in words if word not in str(refusal.value)], str(refusal.value)
