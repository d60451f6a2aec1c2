"""What is known when a forecast is issued: the lead of the issue, and covariates that were not published by then."""

from jaxtyping import Bool, Float32
from torch import Tensor

from forecast.contract import Window
from forecast.data.panel import Panel
from forecast.error import Refusal


def unknown(panel: Panel, window: Window) -> list[tuple[str, int, int]]:
    """Covariates that are not known up to their end when a forecast is issued: field, column, steps at the end.

    A value is known `lag` steps after the end of its own.
    """
    lag, lead = panel.layout.lag, lead_of(panel, window)
    ends = {"past": -window.gap, "future": window.horizon}
    names = {"past": panel.past_names, "future": panel.future_names}
    found = [
        (field, column, end + lead + lag.get(name, 0))
        for field, end in ends.items()
        for column, name in enumerate(names[field])
        if name and (field == "past" or name in lag)
    ]
    return [entry for entry in found if entry[2] > 0]


def lead_of(panel: Panel, window: Window) -> int:
    """Steps from the issue of a forecast to its first step: as the window says, else when the cutoff is known.

    Raises Refusal if a target is known too late for the gap, or if nothing is said of one that a gap should hide.
    """
    lags = {name: panel.layout.lag[name] for name in panel.layout.target if name in panel.layout.lag}
    latest = max(0, *lags.values(), 0)
    lead = window.gap - latest if window.lead is None else window.lead
    needed = latest if window.lead is None else max([lead + lag for lag in lags.values()], default=0)
    if needed > window.gap:
        name = max(lags, key=lambda x: lags[x])
        raise Refusal(
            f"data.lag: '{name}' is known only up to {needed} steps before the first forecast step, but "
            f"gap={window.gap}: set gap={needed}",
            "gap",
        )
    silent = [name for name in panel.layout.target if name not in lags]
    if silent and lead > window.gap:
        raise Refusal(
            f"forecasts are issued {lead} steps before their first one, with gap={window.gap}; is '{silent[0]}' known "
            f"up to there? Say data.lag={{{silent[0]}: -{lead}}} if its values are published that many steps ahead (a "
            f"day-ahead price), or data.lag={{{silent[0]}: 0}} and gap={lead} if they are measured",
            "gap",
        )
    return lead


def conceal(values: Float32[Tensor, "b t"], observed: Bool[Tensor, "b t"], steps: int) -> None:
    """Puts the value before the last `steps` in their place (0 if there is none), and marks them as not observed."""
    steps = min(steps, values.shape[1])
    values[:, -steps:] = values[:, -steps - 1, None] if steps < values.shape[1] else 0.0
    observed[:, -steps:] = False
