"""What TensorBoard shows of a run: curves, hyper-parameters beside final scores, figures, data card, configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LAYOUT = {
    "training": {
        "loss": ["Multiline", ["train/loss", "val/loss"]],
        "speed": ["Multiline", ["train/windows_per_second"]],
        "gradient norm": ["Multiline", ["train/gradient_norm"]],
        "learning rate": ["Multiline", ["train/lr"]],
        "memory": ["Multiline", ["train/memory_mib", "train/gpu_memory_mib"]],
    },
    "test": {"error by step": ["Multiline", ["by_step/.*"]]},
}


def logger(folder: Path, since: int | None = None) -> TensorBoardLogger:
    """The event files of a run, in its folder `tensorboard`; TensorBoard hides what older ones hold `since` a step."""
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False, purge_step=since)


def conclude(
    made: TensorBoardLogger,
    config: Mapping[str, Any],
    final: Mapping[str, float],
    texts: Mapping[str, str],
    figures: Mapping[str, "Figure"],
    curves: Mapping[str, "pd.Series"],
    step: int,
) -> None:
    """Writes what is known at the end of a run: texts and figures by tag, final scores, the row of the HParams tab.

    Of `curves` each value is a scalar at the step that is its index.
    """
    made.experiment.add_custom_scalars(LAYOUT)
    for tag, text in texts.items():
        made.experiment.add_text(tag, text, step)
    for tag, figure in figures.items():
        made.experiment.add_figure(tag, figure, step, close=True)
    for tag, curve in curves.items():
        for place, value in curve.items():
            made.experiment.add_scalar(tag, value, place)
    made.log_hyperparams(flat(config), dict(final), step)
    made.save()
    made.finalize("success")


def listed(card: Mapping[str, Any]) -> str:
    """Names and values as a table in markdown."""
    rows = "\n".join(f"| {key} | {value} |" for key, value in card.items())
    return f"| | |\n|---|---|\n{rows}"


def quoted(text: str) -> str:
    """Text in markdown as it stands: a code block."""
    return "\n".join(f"    {line}" for line in text.rstrip().split("\n"))


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, `backbone/hidden_size`; lists and None become text."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{prefix}{key}/")
        else:
            result[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return result
