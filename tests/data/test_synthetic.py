"""The bundled data sets are what their seeded generator makes, small, and as their README describes them."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import yaml

from forecast.config import CONF
from forecast.data import synthetic
from forecast.data.grid import grid
from forecast.data.lines import BUNDLED
from forecast.data.reader import read
from forecast.data.table import table

SETS = {"load": synthetic.load, "prices": synthetic.prices, "energy": synthetic.energy}
DATA = yaml.safe_load((CONF / "data" / "csv.yaml").read_text())


@cache
def bundled(name: str) -> pd.DataFrame:
    return pd.read_csv(BUNDLED / f"{name}.csv", parse_dates=["time"])


def check_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal but for the last digit that was rounded away: other machines' exp and sin differ there."""
    assert found.columns.tolist() == expected.columns.tolist() and len(found) == len(expected)
    for name in expected:
        if not pd.api.types.is_float_dtype(expected[name]):
            assert found[name].tolist() == expected[name].tolist(), name
            continue
        assert (found[name].isna() == expected[name].isna()).all(), name
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=0.11, err_msg=name)


@cache
def generated(name: str) -> pd.DataFrame:
    return SETS[name]()


@pytest.mark.parametrize("name", SETS)
def test_bundled_files_are_what_the_generator_makes(name):
    check_same(bundled(name), generated(name))


@pytest.mark.parametrize("name", SETS)
def test_another_seed_makes_other_data_of_the_same_form(name):
    one, other = generated(name), SETS[name](seed=7)
    pd.testing.assert_frame_equal(one, SETS[name]())
    assert one.dtypes.tolist() == other.dtypes.tolist() and one.columns.tolist() == other.columns.tolist()
    with pytest.raises(AssertionError):
        check_same(one, other)


def test_writing_makes_the_bundled_files_again(tmp_path):
    synthetic.write(tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(f"{x}.csv" for x in SETS)
    for name in SETS:
        path = tmp_path / "new" / "folder" / f"{name}.csv"
        check_same(pd.read_csv(path, parse_dates=["time"]), bundled(name))
        lines, expected = path.read_text().splitlines(), (BUNDLED / f"{name}.csv").read_text().splitlines()
        assert lines[0] == expected[0] and [x.split(",")[0] for x in lines] == [x.split(",")[0] for x in expected]
        assert b"\r" not in path.read_bytes()


def test_no_bundled_file_is_large():
    sizes = {path.name: path.stat().st_size for path in BUNDLED.glob("*.csv")}
    assert sizes.keys() >= {f"{name}.csv" for name in SETS}
    assert max(sizes.values()) <= 2_000_000


@pytest.mark.parametrize(
    ("name", "rows", "known", "ahead"),
    [("load", 17544, ["holiday"], 168), ("prices", 17544, ["load_forecast", "wind_forecast"], 48)],
)
def test_load_and_prices_end_with_rows_of_which_only_the_known_is_known(name, rows, known, ahead):
    frame = bundled(name)
    assert len(frame) == rows + ahead and (frame["time"].diff()[1:] == pd.Timedelta("1h")).all()
    assert frame["time"].iloc[[0, rows - 1]].tolist() == [pd.Timestamp("2023-01-01"), pd.Timestamp("2024-12-31 23:00")]
    assert frame[known].notna().all(axis=None) and frame[:rows].notna().all(axis=None)
    assert frame[rows:].drop(columns=["time", *known]).isna().all(axis=None)


def test_energy_has_twenty_sites_of_different_spans_with_gaps():
    frame = bundled("energy")
    spans = frame.groupby("site")["time"].agg(["min", "max", "size"])
    assert len(spans) == 20 and frame["kind"].nunique() == 4
    assert (spans["size"] / 24).between(50, 95).all() and spans["min"].nunique() > 10 and spans["max"].nunique() == 3
    assert 0.005 < frame[["consumption", "solar"]].isna().mean().mean() < 0.02
    assert (frame.groupby("site")[["kind", "capacity"]].nunique() == 1).all(axis=None)
    night = frame["solar"][frame["time"].dt.hour.isin([0, 1, 2])].dropna()
    assert (night == 0).all() and (frame["consumption"].dropna() >= 0).all()


@pytest.mark.parametrize("name", SETS)
def test_bundled_files_load_to_a_complete_grid(name):
    config = DATA | {k: v for k, v in yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text()).items() if k in DATA}
    laid = grid(table(read(BUNDLED / config["path"], config), config, name), 0)
    assert len(laid.y) == len(bundled(name)) and laid.layout.clock.freq == "h"


def test_a_small_panel_is_seeded_and_named():
    frame = synthetic.panel(series=12, rows=30, freq="D", seed=3)
    assert frame.columns.tolist() == ["unique_id", "ds", "y"] and len(frame) == 360
    assert frame["unique_id"].unique().tolist() == [f"s{i:02d}" for i in range(12)]
    assert frame["ds"].unique().tolist() == pd.date_range("2024-01-01", periods=30).tolist()
    pd.testing.assert_frame_equal(frame, synthetic.panel(series=12, rows=30, freq="D", seed=3))
    assert not frame.equals(synthetic.panel(series=12, rows=30, freq="D", seed=4))
    assert frame.groupby("unique_id")["y"].mean().nunique() == 12 and np.isfinite(frame["y"]).all()
    assert table(frame, DATA, "DataFrame").layout.target == ("y",)
