"""What TensorBoard shows of a run: curves, hyper-parameters beside final scores, a fan chart, a data card."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYOUT = {
    "training": {
        "loss": ["Multiline", ["train/loss", "val/loss"]],
        "speed": ["Multiline", ["train/windows_per_second"]],
        "gradient": ["Multiline", ["train/gradient_norm", "train/lr"]],
    }
}


def logger(folder: Path) -> TensorBoardLogger:
    """The event files of a run, in its folder `tensorboard`."""
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)


def conclude(
    made: TensorBoardLogger,
    config: Mapping[str, Any],
    final: Mapping[str, float],
    card: Mapping[str, Any],
    figure: "Figure",
    step: int,
) -> None:
    """Writes what is known at the end of a run: data card, figure, final scores, and the row of the HParams tab.

    The figure is a fan chart if its label says nothing else.
    """
    rows = "\n".join(f"| {key} | {value} |" for key, value in card.items())
    made.experiment.add_custom_scalars(LAYOUT)
    made.experiment.add_text("data", f"| | |\n|---|---|\n{rows}", step)
    made.experiment.add_figure(f"forecast/{figure.get_label() or 'fan'}", figure, step, close=True)
    made.log_hyperparams(flat(config), dict(final), step)
    made.save()
    made.finalize("success")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, `backbone/hidden_size`; lists and None become text."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{prefix}{key}/")
        else:
            result[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return result
