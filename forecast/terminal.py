"""What people see: tables, laid out by rich on a terminal and as aligned text elsewhere; no chatter of libraries."""

import logging
import sys
import warnings
from collections.abc import Sequence


def hush() -> None:
    """Keeps Lightning's advertisements and restatements of its arguments off the terminal."""
    for name in (
        "pytorch.utilities.rank_zero",
        "pytorch.trainer.connectors.checkpoint_connector",
        "fabric.utilities.rank_zero",
        "fabric.utilities.distributed",
    ):
        logging.getLogger(f"lightning.{name}").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")  # Lightning 2.6.6 on torch 2.13
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # what is logged is the same on all ranks


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), notes: Sequence[int] = ()) -> str:
    """Rows of cells, the first of which are the heads of columns; those in `left` begin in line, the others end so.

    Columns of `notes` explain: they stand at the left, quietly, and are not aligned any further.
    """
    return styled(rows, left, notes) if sys.stdout.isatty() else plain(rows, (*left, *notes))


def plain(rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """Cells in columns two blanks apart; nothing trails."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if i in left else cell.rjust(width) for i, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def styled(rows: Sequence[Sequence[str]], left: Sequence[int], notes: Sequence[int]) -> str:
    """The same by rich: heads bold, notes dim.

    On a narrow terminal notes are left out, and cells that are still too wide go on below.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    shown = range(len(rows[0]))
    if max(map(len, plain(rows, left).split("\n"))) > console.width:
        shown = [i for i in shown if i not in notes]
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i in shown:
        side, style = "left" if i in left or i in notes else "right", "dim" if i in notes else ""
        made.add_column(Text(rows[0][i]), justify=side, style=style, overflow="fold")
    for row in rows[1:]:
        made.add_row(*(Text(row[i]) for i in shown))
    with console.capture() as written:
        console.print(made)
    return "\n".join(line.rstrip() for line in written.get().rstrip("\n").split("\n"))
