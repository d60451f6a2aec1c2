"""forecast describe: a card of any file that training reads, as text, as JSON and as a picture."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import date2num

from forecast import artifact, config
from forecast.board import card as board
from forecast.board.figure import png
from forecast.data import grid as grids
from forecast.data import table
from forecast.data.card import card, shown

CSV = config.composed("train", ["data=csv"])["data"]


def test_a_card_is_printed_and_written(forecast, csv):
    code, out, _ = forecast("describe", f"data.path={csv}")
    assert code == 0
    folder = Path(out.strip().split("\n")[-1].removeprefix("card: "))
    assert folder.parent == Path("outputs/my/describe")
    assert {path.name for path in folder.iterdir()} == {"card.json", "card.png"}
    found = json.loads((folder / "card.json").read_text())
    y = pd.read_csv(csv)["y"]
    assert (found["rows"], found["frequency"], found["columns"]["target"]) == (420, "h", ["y"])
    assert found["values"]["mean"] == pytest.approx(y.mean())
    for words in ("1 of 420 steps", "step h", f"{y.mean():,.4g}", "data.season=24", "horizon=24"):
        assert words in out
    assert (folder / "card.png").read_bytes().startswith(b"\x89PNG")
    assert max(map(len, out.split("\n"))) <= 120


def test_without_a_word_it_is_the_bundled_set(forecast):
    code, out, _ = forecast("describe", "folder=here")
    assert code == 0 and "17,712 rows" in out and "data.season=168" in out
    assert json.loads(Path("here/card.json").read_text())["covariates"][0]["name"] == "temperature"


def test_a_file_that_training_refuses_is_refused_in_the_same_words(forecast, csv):
    frame = pd.read_csv(csv)
    pd.concat([frame, frame.iloc[:3]]).to_csv("twice.csv", index=False)
    answers = [forecast(command, "data.path=twice.csv") for command in ("train", "describe")]
    assert [code for code, _, _ in answers] == [2, 2]
    first, second = (err.split("twice.csv: ")[-1] for _, _, err in answers)
    assert first == second and "data.duplicates=first, last or mean" in first
    assert not Path("outputs").exists()
    code, out, _ = forecast("describe", "data.path=twice.csv", "data.duplicates=mean")
    assert code == 0 and "3 rows merged" in out


def test_no_file_at_all_is_refused(forecast):
    code, _, err = forecast("describe", "data=csv")
    assert code == 2 and "data.path=my.csv" in err and not Path("outputs").exists()


def frame(rows: int = 600, freq: str = "h", tz: str | None = None, begin: str = "2024-01-01") -> pd.DataFrame:
    stamps, rng = pd.date_range(begin, periods=rows, freq=freq, tz=tz), np.random.default_rng(rows)
    return pd.DataFrame({"ds": stamps, "y": np.sin(np.arange(rows) / 4) + rng.standard_normal(rows) / 5})


def several(count: int) -> pd.DataFrame:
    return pd.concat([frame(200).assign(unique_id=f"s{i:03d}") for i in range(count)])


HOLES = frame().drop(index=range(100, 140))
HOLES.loc[[3, 5, 7, 599], "y"] = np.nan  # single values between missing ones
FRAMES = {
    "hours": (frame(), {}),
    "long": (frame(20_000), {}),
    "holes": (HOLES, {}),
    "long with holes": (frame(20_000).drop(index=range(5000, 5003)), {}),
    "autumn night": (frame(begin="2024-10-15", tz="Europe/Berlin"), {}),
    "minutes": (frame(5000, "min"), {}),
    "quarter hours": (frame(2000, "15min"), {}),
    "days": (frame(400, "D"), {}),
    "business days": (frame(400, "B"), {}),
    "weeks": (frame(300, "W"), {}),
    "months": (frame(130, "MS"), {}),
    "years": (frame(30, "YE"), {"freq": "YE"}),
    "few": (frame(6), {}),
    "channels": (frame().assign(a=1.0, b=0.0)[["ds", "a", "b"]], {"joint": True}),
    "many series": (several(30), {}),
    "an empty series": (several(3).assign(y=lambda x: x["y"].where(x["unique_id"] != "s001")), {}),
    "no value": (frame().assign(y=np.nan), {"target": ["y"]}),
    "borders of each": (several(3), {"split_each": True}),
}


def described(name: str) -> tuple[dict, pd.DataFrame]:
    rows, options = FRAMES[name]
    data = {**CSV, "split": [0.6, 0.2, 0.2], **options}
    checked = table.table(rows, data, "my.csv")
    grid = grids.grid(checked, 0)
    return card(data, len(rows), checked, grid, grid.borders(data["split"], data["split_each"])), shown(grid, 3)


@pytest.mark.parametrize("name", FRAMES)
def test_every_table_becomes_text_and_a_picture(name):
    found, rows = described(name)
    found = json.loads(artifact.plain(found))  # what is written is all that is needed
    lines = board.text(found).split("\n")
    assert max(map(len, lines)) <= 120 and not any(word in " ".join(lines) for word in ("nan", "None", "inf"))
    drawn = board.picture(found, rows, "a title")
    assert drawn.get_suptitle().startswith("a title")
    assert png(drawn).startswith(b"\x89PNG") and plt.get_fignums() == []
    named = [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    assert len(named) == len(set(named)) and ("missing" in named) == bool(rows["y"].isna().any())
    values = np.concatenate(
        [[np.nan], *(x.get_ydata() for axes in drawn.axes for x in axes.lines if x.get_label() == "value")]
    )
    if name not in ("long", "long with holes", "minutes", "no value"):
        assert np.nanmax(values) == rows["y"].max() and np.nanmin(values) == rows["y"].min()


def test_a_long_line_keeps_its_extremes_and_its_holes():
    rows, _ = FRAMES["long"]
    rows = rows.assign(unique_id="y")
    rows.loc[12_345, "y"] = 77.0
    rows.loc[5000:5002, "y"] = np.nan
    drawn = board.picture(described("long")[0], rows, "")
    axes = drawn.axes[0]
    low, high = axes.get_ylim()
    assert high > 77.0 > low and len(axes.lines[0].get_xdata()) < 1500
    (strip,) = (x for x in axes.collections if x.get_label() == "missing")
    (path,) = strip.get_paths()
    begin, end = path.vertices[:, 0].min(), path.vertices[:, 0].max()
    at = date2num(rows["ds"].iloc[5000])
    assert begin <= at <= end + 1e-9 and end - begin < 2


def test_the_mean_week_begins_on_monday_in_local_time():
    rows = frame(24 * 7 * 8, tz="Europe/Berlin", begin="2024-03-01").assign(unique_id="y")
    local = pd.DatetimeIndex(rows["ds"])
    rows["y"] = np.where((local.day_of_week == 2) & (local.hour == 0), 9.0, 0.0)
    axes = board.Figure().subplots()
    board.profile(axes, rows, "week")
    line = axes.lines[0]
    assert line.get_xdata()[line.get_ydata() == 9.0].tolist() == [24 * 2]  # Wednesday, in UTC still Tuesday
    assert axes.get_xticklabels()[0].get_text() == "Mon"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1e-6, "<0.01%"), (0.0123, "1.2%"), (0.123, "12.3%"), (1.0, "100.0%")]
)
def test_a_share_is_nothing_only_where_there_is_nothing(value, text):
    assert board.share(value) == text


def test_a_path_alone_describes_any_csv():
    assert config.composed("describe", ["data.path=my.csv"])["data"]["name"] is None
    assert config.composed("describe", ["data=prices", "data.path=my.csv"])["data"]["name"] == "prices"
