"""what is in a data set: gaps, outliers, seasons, and what to train with"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Writes card.json and card.png and prints the card; the file is read as training reads it."""
    from forecast import artifact, atomic
    from forecast.board import card as drawn
    from forecast.board import figure
    from forecast.data import card, reader, table
    from forecast.data import grid as grids
    from forecast.data.lines import find
    from forecast.error import Refusal
    from forecast.sweep.folder import claimed, stamp

    data = config["data"]
    if data["path"] is None:
        raise Refusal("which data? Name a file by data.path=my.csv, or a set by data=...", "no-data")
    name = data["name"] or Path(data["path"]).name.split(".")[0]
    path = find(data["path"])
    frame = reader.read(path, data)
    checked = table.table(frame, data, str(path))
    grid = grids.grid(checked, 0)
    found = card.card(data, len(frame), checked, grid, grid.borders(data["split"], data["split_each"]))
    with claimed(Path(config["folder"] or Path("outputs") / name / "describe" / stamp()), folder) as out:
        atomic.write(out / "card.json", artifact.plain(found))
        picture = drawn.picture(found, card.shown(grid, figure.SERIES), name)
        atomic.write(out / "card.png", figure.png(picture))
    print(f"{drawn.text(found)}\n\n{out / 'card.png'}\ncard: {out}")
