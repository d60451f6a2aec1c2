"""WindowedRegressor: the same networks over arrays of windows, as a regressor of scikit-learn."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from forecast import build, config, device
from forecast.checkpoint import Files
from forecast.contract import Scaling, Shape, Window
from forecast.data import scaler
from forecast.data.clock import Clock
from forecast.data.layout import Layout
from forecast.data.module import SeriesDataModule
from forecast.data.panel import Panel
from forecast.data.windows import Windows
from forecast.error import Refusal
from forecast.learning import trained

AT_ONCE = 32  # rows forecast in one batch, which is always full: what is said of a row does not depend on the others
ARGUMENTS = {  # and the keys of the configuration that they set
    "model": "model", "backbone": "backbone", "hidden_size": "backbone.hidden_size", "head": "head",
    "normalizer": "normalizer", "max_epochs": "trainer.max_epochs", "batch_size": "batch_size", "lr": "optimizer.lr",
}  # fmt: skip
AFFINE = ("standard", "robust", "minmax", "none")  # scalers
STAMPLESS = Layout("", None, ("y",), (), (), (), (), False, {}, (), None, Clock("h"))  # rows have no stamps


class WindowedRegressor(RegressorMixin, BaseEstimator):
    """Rows of X are contexts, a step a column, oldest first; y is what follows: a value, or one a step of a horizon.

    An argument left None means the value of conf/train.yaml (`random_state`: its seed; `normalizer`: none); `overrides`
    set other keys of the network and its training as the command line does. The last rows, in the ratio of val to train
    in `data.split`, judge the epochs and are not learnt from. X and y are scaled each by what the other rows teach;
    with a normalizer or model.skip, which hand a row's level on to its forecast, y has to be in the unit of X, and both
    are scaled as y.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        backbone: str | None = None,
        hidden_size: int | None = None,
        head: str | None = None,
        normalizer: str | Sequence[str] | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        overrides: Sequence[str] = (),
    ):
        self.model, self.backbone, self.hidden_size, self.head = model, backbone, hidden_size, head
        self.normalizer, self.max_epochs, self.batch_size, self.lr = normalizer, max_epochs, batch_size, lr
        self.random_state, self.overrides = random_state, overrides

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def settings(self, context: int, horizon: int) -> dict[str, Any]:
        """The configuration for rows of so many steps; raises Refusal for what can't be right or needs stamps."""
        given = {key: getattr(self, name) for name, key in ARGUMENTS.items() if getattr(self, name) is not None}
        if isinstance(given.get("normalizer"), str):
            given["normalizer"] = [given["normalizer"]]
        if self.random_state is not None:
            given["seed"] = int(check_random_state(self.random_state).randint(2**31 - 1))
        given |= {"trainer.enable_progress_bar": False, "callbacks.figures": None, "logger": "none"}
        words = ("data=csv", "normalizer=[none]", *(config.override(*each) for each in given.items()), *self.overrides)
        found = {**deepcopy(config.defaults(words)), "context": context, "horizon": horizon}
        build.check(found)
        if device.processes(device.able(found)):
            raise Refusal("a regressor trains in one process: use trainer.devices=1, trainer.strategy=auto", "config")
        if found["gap"] or found["calibrate"]["name"] != "none":
            raise Refusal("gap and calibrate are for series with stamps: use a Forecaster", "config")
        if found["data"]["scaler"] not in AFFINE:
            raise Refusal(f"data.scaler={found['data']['scaler']}: expected one of {', '.join(AFFINE)}", "config")
        head = build.part("head", found["head"])
        if head.classes or head.support != "real":
            raise Refusal(f"head={found['head']['name']}: a regressor needs a head for any number, quantile", "config")
        return found

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803  scikit-learn's name
        """Trains on arrays or frames X [n context] and y [n] or [n horizon], finite and dense.

        Raises ValueError for other data, Refusal (one as well) for settings, Diverged if the loss becomes NaN.
        """
        X, y = validate_data(self, X, y, dtype="float64", multi_output=True, y_numeric=True, ensure_min_samples=2)  # noqa: N806
        y = check_array(y, dtype="float64", ensure_2d=False, input_name="y")
        targets = y.reshape(len(y), -1)
        settings = self.settings(X.shape[1], targets.shape[1])
        learnt = len(X) - judging(len(X), settings["data"]["split"])
        kind = settings["data"]["scaler"]
        loc, scale = scaler.fit(targets[:learnt].reshape(-1, 1), kind)
        if settings["model"].get("skip", "none") != "none" or set(settings["normalizer"]) - {"none"}:
            self.middle_, self.ratio_, self.level_ = 0.0, 1.0, 0.0
        else:
            middle, spread = scaler.fit(X[:learnt].reshape(-1, 1), kind)
            self.middle_, self.ratio_, self.level_ = middle.item(), (scale / spread).item(), loc.item()
        panel, window = self.panel(X, targets), Window(settings["context"], settings["horizon"])
        end = learnt * window.length
        module = SeriesDataModule(
            panel, window, (end, len(panel.y), None), train_window=None, half_life=None, weights=None,
            windows_per_epoch=settings["windows_per_epoch"], batch_size=settings["batch_size"], seed=settings["seed"],
        )  # fmt: skip
        shape = Shape(
            context=window.context, horizon=window.horizon, gap=0, channels=1, past=0, future=0, static=0,
            cardinalities=(), season=settings["data"]["season"] or 1, series=1, width=build.width(settings),
        )  # fmt: skip
        scaling = Scaling(kind, torch.from_numpy(loc[None]), torch.from_numpy(scale[None]))
        self.config_, self.single_ = settings, y.ndim == 1
        self.model_, trainer = trained(settings, shape, scaling, module, Files("arrays"))
        self.n_epochs_ = trainer.current_epoch
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The forecasts [n] or [n horizon] of rows, float64: medians where the head has quantiles."""
        point = self.forecasts(X, None)[0]
        return point[:, 0] if self.single_ else point

    def quantiles(self, X: Any, levels: Sequence[float]) -> np.ndarray:  # noqa: N803
        """The quantiles [n level] or [n horizon level] of rows at ascending levels."""
        spread = self.forecasts(X, levels)[1]
        return spread[:, 0] if self.single_ else spread

    def forecasts(self, X: Any, levels: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:  # noqa: N803
        """Points [n horizon] and quantiles [n horizon level] of rows."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype="float64")  # noqa: N806
        model, data = self.model_.eval(), self.config_["data"]
        window = Window(model.shape.context, model.shape.horizon)
        whole = np.pad(X, ((0, -len(X) % AT_ONCE), (0, 0)))
        panel = self.panel(whole, np.zeros((len(whole), window.horizon)))
        windows = Windows(panel, window, torch.arange(len(whole)) * window.length)
        levels = model.head.levels if levels is None else levels
        with torch.inference_mode():
            parts = [model.forecast(batch, levels) for batch in windows.batches(AT_ONCE)]
        point, spread = (torch.cat(x)[: len(X), :, 0].numpy() for x in zip(*parts, strict=True))
        return np.clip(point, data["min"], data["max"]), np.clip(spread, data["min"], data["max"])

    def panel(self, rows: np.ndarray, targets: np.ndarray) -> Panel:
        """A panel in which each row, in the unit of y, and its targets are a series by themselves, one after the other.

        All are of slot 0, as series that training had not.
        """
        values = np.concatenate(((rows - self.middle_) * self.ratio_ + self.level_, targets), 1)
        count, length = values.shape
        y, none, whole = torch.from_numpy(values.reshape(-1, 1)), torch.empty(values.size, 0), torch.empty(0).long()
        begins = torch.arange(count + 1) * length
        return Panel(
            y=y, observed=torch.ones_like(y, dtype=torch.bool), seen=whole[:, None], past=none,
            past_observed=none.bool(), future=none, future_observed=none.bool(), static=none[:count],
            codes=none[:count].long(), offsets=begins, first=begins[:-1], lengths=torch.full((count,), length),
            slots=torch.zeros(count).long(), shift=(-begins[:-1]).repeat_interleave(length), vintages=none[:0],
            vintage_rows=whole, vintage_issued=whole, names=("",) * count, past_names=(), future_names=(),
            fill="last", layout=STAMPLESS, ahead=0, source="X",
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """A fitted one travels as plain values and arrays, its network without the trainer."""
        given: Any = super().__getstate__()
        state = {**given}
        if "model_" in state:
            state |= {"model_": (self.model_.arrays, self.model_.shape, self.model_.scaling)}
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__(dict(state))
        if "model_" in state:
            arrays, shape, scaling = state["model_"]
            weights = {name: torch.tensor(x) for name, x in arrays.items()}
            self.model_ = build.restored(self.config_, shape, scaling, weights)


def judging(count: int, split: Sequence[float | str]) -> int:
    """How many of so many rows judge the epochs: in the ratio of val to train, but one at least."""
    if not all(isinstance(x, int | float) for x in split) or len(split) < 2:
        raise Refusal(f"data.split={[*split]}: rows have no dates; name the shares of train, val and test", "split")
    train, val = map(float, split[:2])
    return min(count - 1, max(1, round(count * val / (train + val))))
