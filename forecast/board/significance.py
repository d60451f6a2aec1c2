"""Which differences between forecasts are real: tests and the confidence set, as text and as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forecast import terminal
from forecast.board.figure import ACTUAL, tint

NAMES = {
    "dm": "Diebold-Mariano",
    "gw": "Giacomini-White (conditional)",
    "gw_unconditional": "Giacomini-White (unconditional)",
}
LONG = 9  # letters of a model's name from which on columns are written slanted


def matrices(found: pd.DataFrame, level: float) -> tuple[pd.DataFrame, pd.DataFrame | None, int]:
    """p of each pair; at how many steps the column is better than the row, and of how many, if steps were tested."""
    models, steps = list(dict.fromkeys(found["row"])), found[found["step"].notna()]

    def square(rows: pd.Series) -> pd.DataFrame:
        return rows.unstack().reindex(index=models, columns=models)

    p = square(found[found["step"].isna()].set_index(["row", "column"])["p"])
    better = (steps["p"] < level).groupby([steps["row"], steps["column"]]).sum()
    return p, None if steps.empty else square(better), steps["step"].nunique()


def titled(found: pd.DataFrame) -> str:
    first = found.iloc[0]
    return f"{NAMES[first['test']]}, loss {first['loss']}, {first['cutoffs']:,} cutoffs"


def chance(p: float) -> str:
    return "" if pd.isna(p) else "<0.001" if p < 0.0005 else f"{p:.3f}"


def text(found: pd.DataFrame, held: pd.DataFrame, level: float) -> str:
    """The table of p-values, that of significant steps, and the model confidence set."""
    p, better, steps = matrices(found, level)
    cells = [[name, *map(chance, row)] for name, row in zip(p.index, p.to_numpy(), strict=True)]
    chances = terminal.table([["", *p.columns], *cells], (0,))
    blocks = [f"{titled(found)}\np that the column is no better than the row:\n{chances}"]
    if better is not None:
        cells = [[x, *("" if pd.isna(y) else f"{y:.0f}" for y in row)]
                 for x, row in zip(better.index, better.to_numpy(), strict=True)]  # fmt: skip
        title = f"of {steps} steps, at how many the column is better (p < {level:g}):"
        blocks.append(f"{title}\n{terminal.table([['', *better.columns], *cells], (0,))}")
    inside, outside = (held[held["inside"] == side] for side in (True, False))
    blocks.append(f"model confidence set, {1 - level:.0%}: {listed(inside)}" + (
        f"\nleft out: {listed(outside)}" if len(outside) else ""))  # fmt: skip
    return "\n\n".join(blocks)


def listed(held: pd.DataFrame) -> str:
    """Models with their p, the best first."""
    pairs = zip(held["model"][::-1], held["p"][::-1], strict=True)
    return ", ".join(f"{name} ({chance(p)})" for name, p in pairs)


def heat(found: pd.DataFrame, held: pd.DataFrame, level: float) -> Figure:
    """The p of each pair, and where steps were tested the share of them; the darker, the surer the column is better."""
    p, better, steps = matrices(found, level)
    panels = [("p", p.map(chance), (1 - 0.85 * p / level).where(p < level, 0))]
    if better is not None:
        words = better.map(lambda x: "" if pd.isna(x) else f"{x:.0f}")
        panels.append((f"significant steps of {steps}", words, better / steps))
    side, letters = max(2.4, 0.75 * len(p)), max(map(len, p.columns))
    slanted = letters > LONG
    width = max(7.0, 0.8 + 0.09 * letters + (side + 0.6) * len(panels))
    height = side + 1.6 + (0.06 * letters if slanted else 0.1)
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    inside = set(held.loc[held["inside"], "model"])
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    row[0].set_ylabel("worse")
    for axes, (title, words, share) in zip(row, panels, strict=True):
        grid(axes, words, share.fillna(0).clip(0, 1), inside, slanted)
        axes.set_title(title, loc="left", fontsize=10)
    said = f"{titled(found)}\ndark: the column is better than the row, p < {level:g}; "
    figure.suptitle(f"{said}bold: in the {1 - level:.0%} model confidence set", x=0.01, ha="left", fontsize=10)
    return figure


def grid(axes: Axes, words: pd.DataFrame, share: pd.DataFrame, inside: set[str], slanted: bool) -> None:
    """A square of words on tints; the names of models that may be the best are bold."""
    axes.imshow([[tint(x) if i != j else (0.93, 0.93, 0.93) for j, x in enumerate(row)]
                 for i, row in enumerate(share.to_numpy())])  # fmt: skip
    for (i, j), x in np.ndenumerate(share.to_numpy()):
        colour = "white" if x > 0.6 else ACTUAL
        axes.text(j, i, str(words.iloc[i, j]), ha="center", va="center", color=colour, fontsize=9)
    places = range(len(words))
    axes.set_xticks(places, words.columns, rotation=35 if slanted else 0, ha="right" if slanted else "center")
    axes.set_yticks(places, words.index)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontweight("bold" if label.get_text() in inside else "normal")
    axes.set_xlabel("better")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
