"""forecast: trustworthy forecasts of prices, load and energy with recurrent networks on Lightning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecast.allocator import tune_allocator
    from forecast.ensemble import Ensemble
    from forecast.error import CannotWrite, Diverged, ForecastError, Refusal
    from forecast.fold import Refit
    from forecast.forecaster import Forecaster
    from forecast.regressor import WindowedRegressor

PLACES = {  # of what is not in error
    "Ensemble": "ensemble", "Forecaster": "forecaster", "Refit": "fold", "WindowedRegressor": "regressor",
    "tune_allocator": "allocator",
}  # fmt: skip
__all__ = [
    "CannotWrite", "Diverged", "Ensemble", "ForecastError", "Forecaster", "Refit", "Refusal", "WindowedRegressor",
    "tune_allocator",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import forecast` takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'forecast' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"forecast.{PLACES.get(name, 'error')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
