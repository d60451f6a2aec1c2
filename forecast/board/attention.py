"""What a decoder looks at, as a picture: its weights on the steps of the context."""

import numpy as np
from matplotlib.axes import Axes

from forecast.board.error import DARKER, TICKS
from forecast.board.rhythm import Rhythm


def attention(axes: Axes, weights: np.ndarray, found: Rhythm | None) -> None:
    """Weights [horizon context], a row a step of the horizon, mean over windows; days, weeks or years marked."""
    horizon, context = weights.shape
    drawn = axes.imshow(
        weights, cmap=DARKER, aspect="auto", vmin=0, interpolation="nearest",
        extent=(-context - 0.5, -0.5, horizon + 0.5, 0.5),
    )  # fmt: skip
    axes.tick_params(labelsize=9)
    marks = np.arange(found.steps, context + 1, found.steps) if found else np.empty(0)
    if found and len(marks):
        each = -(-len(marks) // TICKS)
        axes.vlines(-marks[marks < context] - 0.5, 0.5, horizon + 0.5, color="#aaaaaa", linewidth=0.8, ls=":")
        axes.set_xticks(-marks[each - 1 :: each], [f"{i}" for i in range(each, len(marks) + 1, each)])
        axes.set_xlabel(f"{found.unit}s before the forecast begins")
    else:
        axes.set_xlabel("step of the context, the last one seen is -1")
    axes.set_ylabel("step of the horizon")
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, label=f"mean weight (even: {1 / context:.2g})")
    bar.outline.set_visible(False)  # type: ignore[operator]
