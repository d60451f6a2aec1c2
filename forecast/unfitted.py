"""A forecaster before it has learnt: its arguments, as parameters of scikit-learn, and the configuration they make."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

from narwhals.stable.v2 import Implementation
from sklearn.base import BaseEstimator

from forecast import config
from forecast.error import Refusal
from forecast.fitted import Fitted
from forecast.memory import Memory

ARGUMENTS = ("data", "model", "backbone", "head", "normalizer", "context", "horizon", "gap", "seed")


class Unfitted(BaseEstimator):
    """Arguments, and an empty place for what is learnt with them."""

    def __init__(
        self,
        *,
        data: str | None = None,
        model: str | None = None,
        backbone: str | None = None,
        head: str | None = None,
        normalizer: str | Sequence[str] | None = None,
        context: int | None = None,
        horizon: int | None = None,
        gap: int | None = None,
        seed: int | None = None,
        overrides: Sequence[str] = (),
    ):
        self.data, self.model, self.backbone, self.head, self.normalizer = data, model, backbone, head, normalizer
        self.context, self.horizon, self.gap, self.seed, self.overrides = context, horizon, gap, seed, overrides
        self.composed: Mapping[str, Any] | None = None
        self.fitted_: Fitted | None = None
        self.kind = Implementation.PANDAS
        self.memory = Memory()

    @classmethod
    def of(cls, composed: Mapping[str, Any]) -> Self:
        """An unfitted forecaster with a configuration that is already composed."""
        made = cls()
        for name in ARGUMENTS:
            value = composed[name]
            part = isinstance(value, Mapping)
            setattr(made, name, list(value) if name == "normalizer" else value["name"] if part else value)
        made.composed = composed
        return made

    def set_params(self, **params: Any) -> Self:
        """Sets arguments of the constructor, and forgets what was learnt with the ones before.

        Raises Refusal if the configuration is that of a run, ValueError if there is no such argument.
        """
        if params and self.composed is not None:
            raise Refusal("this forecaster has the configuration of a run: make another one to change it", "config")
        super().set_params(**params)
        if params:
            self.fitted_ = None
        return self

    def __sklearn_clone__(self) -> Self:
        return super().__sklearn_clone__() if self.composed is None else type(self).of(self.composed)  # type: ignore

    def __sklearn_is_fitted__(self) -> bool:
        return self.fitted_ is not None

    def settings(self, found: bool = True) -> dict[str, Any]:
        """The configuration; for data that are given, and not `found` by it, no data set is assumed unless named."""
        if self.composed is not None:
            return dict(self.composed)
        given = {name: getattr(self, name) for name in ARGUMENTS if getattr(self, name) is not None}
        if not found:
            given.setdefault("data", "csv")
        if isinstance(given.get("normalizer"), str):
            given["normalizer"] = [given["normalizer"]]
        return deepcopy(config.defaults((*(config.override(k, v) for k, v in given.items()), *self.overrides)))

    @property
    def fitted(self) -> Fitted:
        if self.fitted_ is None:
            raise Refusal("this forecaster is not fitted yet: call fit first", "not-fitted")
        return self.fitted_
