"""NetworkForecaster: the same networks as a forecaster of sktime (extra `sktime`)."""

from collections.abc import Sequence
from typing import Any, Self

import pandas as pd

from forecast import build
from forecast.error import Refusal
from forecast.forecaster import Forecaster
from forecast.regressor import judging

try:
    from sktime.forecasting.base import BaseForecaster, ForecastingHorizon  # type: ignore[import-not-found]
except ModuleNotFoundError as error:
    raise Refusal(f"this adapter needs {error.name}: pip install 'forecast[sktime]'", "extra") from None

ARGUMENTS = ("model", "backbone", "head", "normalizer", "context", "seed")  # which are keys of the configuration, too
QUIET = ("trainer.enable_progress_bar=false", "callbacks.figures=null", "logger=none")
INTERVAL = (0.05, 0.95)  # the levels of sktime's usual interval


class NetworkForecaster(BaseForecaster):
    """Forecasts a series by a network of its own; X are covariates that are known ahead, text among them as categories.

    The fh that `fit` is told says gap and horizon. An argument left None means the value of conf/train.yaml; a series
    that is too short for its context gets whole horizons, up to as many steps as training then has windows. `overrides`
    set other keys as the command line does. All of y is learnt from but its end, which judges the epochs: the share
    that val has of train and val in `data.split`, of a horizon at least. There is no test part: what to hold back is
    sktime's to say. A series that is too short for one window is refused.

    Forecasts are medians, where the head has quantiles; the head `quantile` learns the levels of sktime's usual
    interval, too. Numbers as an index have no calendar, and no season but `data.season`. Missing values of y are filled
    as `data.fill` says, at its end by the last one; X has to be known for every step from the cutoff to the last.
    `update` adds rows, and learns anew from all of them unless `update_params` is false. What was fitted is the
    Forecaster `forecaster_`, whose stamps are seconds where the index has numbers.

    Examples
    --------
    >>> from sktime.datasets import load_airline
    >>> from forecast.contrib.sktime import NetworkForecaster
    >>> forecaster = NetworkForecaster(backbone="gru", overrides=["trainer.max_epochs=1"])
    >>> forecaster.fit(load_airline(), fh=[1, 2, 3]).predict().index.astype(str).tolist()
    ['1961-01', '1961-02', '1961-03']
    """

    _tags = {  # noqa: RUF012  sktime's way
        "authors": "forecast", "maintainers": "forecast", "y_inner_mtype": "pd.Series", "X_inner_mtype": "pd.DataFrame",
        "capability:multivariate": False, "capability:exogenous": True, "capability:categorical_in_X": True,
        "capability:non_contiguous_X": False, "capability:missing_values": True, "capability:insample": False,
        "capability:pred_int": True, "capability:pred_int:insample": False, "capability:update": True,
        "requires-fh-in-fit": True,
    }  # fmt: skip

    def __init__(
        self,
        *,
        model: str | None = None,
        backbone: str | None = None,
        head: str | None = None,
        normalizer: str | Sequence[str] | None = None,
        context: int | None = None,
        seed: int | None = None,
        overrides: Sequence[str] = (),
    ):
        self.model, self.backbone, self.head, self.normalizer = model, backbone, head, normalizer
        self.context, self.seed, self.overrides = context, seed, overrides
        super().__init__()

    def _fit(self, y: pd.Series, X: pd.DataFrame | None, fh: Any) -> Self:  # noqa: N803  sktime's names
        self.rows_ = rows_of(y, X)
        self.name_: Any = y.name
        steps = fh.to_indexer(self.cutoff)
        self.gap_, self.horizon_ = int(steps.min()), int(steps.max() - steps.min()) + 1
        return self.learn()

    def _update(self, y: pd.Series, X: pd.DataFrame | None = None, update_params: bool = True) -> Self:  # noqa: N803
        rows = pd.concat([self.rows_, rows_of(y, X)])
        self.rows_ = rows[~rows.index.duplicated(keep="last")].sort_index()
        return self.learn() if update_params else self

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.Series:  # noqa: N803
        return self.forecasts(fh, X)["point"].rename(self.name_)

    def _predict_quantiles(self, fh: Any, X: pd.DataFrame | None, alpha: Sequence[float]) -> pd.DataFrame:  # noqa: N803
        levels = [round(level, 9) for level in alpha]  # of a coverage of 0.9 the lower one is 0.04999999999999999
        table = self.forecasts(fh, X, sorted(set(levels)))
        columns = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        return table[[f"q{level:g}" for level in levels]].set_axis(columns, axis=1)

    def learn(self) -> Self:
        """Fits a Forecaster on the rows up to the cutoff."""
        rows = self.known()
        end = ForecastingHorizon(1).to_absolute_index(self.cutoff)
        rows = rows.reindex(rows.index.append(end))  # a row without value: where the test part begins
        frame = stamped(rows)
        settings = self.settings(frame)
        if not isinstance(rows.index, pd.DatetimeIndex | pd.PeriodIndex):
            settings["data"] |= {"freq": "s", "calendar": [], "season": settings["data"]["season"] or 1}
        self.forecaster_ = Forecaster.of(settings).fit(frame)
        return self

    def settings(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The configuration for these rows, the last of which has no value; raises Refusal for what can't be right."""
        given = {key: getattr(self, key) for key in ARGUMENTS}
        found = Forecaster(**given, overrides=(*QUIET, *self.overrides)).settings(found=False)
        found |= {"gap": self.gap_, "horizon": self.horizon_}
        build.check(found)
        head, data, count, ahead = found["head"], found["data"], len(frame) - 1, self.gap_ + self.horizon_
        if head["name"] == "quantile":
            low, high = head["levels"][0], head["levels"][-1]
            head["levels"] = sorted({*head["levels"], *(x for x in INTERVAL if not low <= x <= high)})
        last = max(self.horizon_, judging(count, data["split"]))
        if self.context is None:
            room = max(1, (count - last - ahead + 1) // 2)
            found["context"] = min(found["context"], room // self.horizon_ * self.horizon_ or room)
        if count < found["context"] + ahead + last:
            raise Refusal(
                f"{count} values are too few: {found['context']} (the context) and {ahead} (up to the last step of fh) "
                f"make one window to learn from, and {last} more judge what was learnt",
                "too-short",
            )
        names = [name for name in frame.columns if name not in ("ds", "y")]
        text = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
        data |= {"target": ["y"], "future": names, "categorical": text}
        data["split"] = [str(stamp) for stamp in frame["ds"].iloc[[-1 - last, -1]]]
        return found

    def forecasts(self, fh: Any, X: pd.DataFrame | None, levels: Sequence[float] | None = None) -> pd.DataFrame:  # noqa: N803
        """The forecasts of what follows the cutoff, a row a step of fh."""
        rows = self.known()
        rows["y"] = rows["y"].ffill(limit_area="outside")  # forecasts follow the cutoff, not the last value
        if X is not None:
            rows = pd.concat([rows, named(X[X.index > self.cutoff[0]])])
        table = self.forecaster_.predict(stamped(rows), levels=levels).set_index("ds")
        index = fh.to_absolute_index(self.cutoff)
        places = table.index.get_indexer(stamps(index))
        if (places < 0).any():
            raise Refusal(
                f"{index[places < 0][0]} is not among the {len(table)} steps that this forecaster has learnt to "
                "forecast: tell fit of all of them",
                "horizon",
            )
        return table.iloc[places].set_axis(index)

    def known(self) -> pd.DataFrame:
        """The rows up to the cutoff."""
        return self.rows_[self.rows_.index <= self.cutoff[0]].copy()

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Small networks for sktime's checks."""
        small = ["trainer.max_epochs=1", "backbone.hidden_size=4"]
        law = {"model": "direct", "backbone": "lstm", "head": "student", "context": 4, "seed": 2}
        return [{"overrides": small}, {**law, "overrides": small}]


def named(X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
    """X by names that are none of ours."""
    return X.add_prefix("X.")


def rows_of(y: pd.Series, X: pd.DataFrame | None) -> pd.DataFrame:  # noqa: N803
    """y and the columns of X, by their index."""
    rows = y.to_frame("y")
    return rows if X is None else rows.join(named(X))


def stamped(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as a Forecaster takes them: with a column of stamps instead of the index."""
    return rows.reset_index(drop=True).assign(ds=stamps(rows.index))


def stamps(index: pd.Index) -> pd.DatetimeIndex:
    """Stamps of an index: periods as they begin, numbers as seconds."""
    if isinstance(index, pd.PeriodIndex):
        return index.to_timestamp()
    return index if isinstance(index, pd.DatetimeIndex) else pd.to_datetime(index, unit="s")
