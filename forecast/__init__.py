"""forecast: trustworthy forecasts of prices, load and energy with recurrent networks on Lightning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecast.ensemble import Ensemble
    from forecast.error import CannotWrite, Diverged, ForecastError, Refusal
    from forecast.forecaster import Forecaster

__all__ = ["CannotWrite", "Diverged", "Ensemble", "ForecastError", "Forecaster", "Refusal"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import forecast` takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'forecast' has no attribute '{name}'")
    from importlib import import_module

    module = f"forecast.{name.lower()}" if name in ("Ensemble", "Forecaster") else "forecast.error"
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
