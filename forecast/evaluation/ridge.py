"""Ridge regression on lags: every step of the horizon from the context and the covariates that are known, linearly.

A real opponent: with an anchor (or a stride of whole seasons) each step ahead is one hour of the day, and this is the
classic autoregression with exogenous inputs by hour of the price literature (F. Ziel, R. Weron, "Day-ahead electricity
price forecasting with high-dimensional structures", 2018), shrunk by a ridge (A. Hoerl, R. Kennard, "Ridge regression",
1970) instead of a lasso. How much is chosen by leaving one window out.
"""

from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from forecast.contract import Batch, Scaling
from forecast.data.windows import Windows
from forecast.evaluation.baseline import seasonal_naive

MOST = 10_000  # windows that are learnt from, evenly spaced over those of train
AT_ONCE = 1024
SHRINKAGE = np.logspace(-1, 5, 13)


class Ridge:
    """One regression for all series and channels, in scaled units around the mean of the last season."""

    def __init__(self, scaling: Scaling, season: int, named: int, model: Any):
        self.scaling, self.season, self.named, self.model = scaling, season, named, model

    @classmethod
    def fit(cls, train: Windows, test: Windows, scaling: Scaling, season: int) -> Self:
        """Learns from the windows of train; from those only that start at a phase at which test windows do.

        Targets that are not observed count as seasonal naive has them.
        """
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        named = sum(map(bool, train.panel.future_names))
        made = cls(scaling, season, named, make_pipeline(StandardScaler(), RidgeCV(alphas=SHRINKAGE)))
        phases = [(x.panel.clock(x.cutoffs, x.series) % season) for x in (train, test)]
        usable = torch.isin(phases[0], phases[1]).nonzero().flatten()
        usable = usable if len(usable) else torch.arange(len(train))
        numbers = usable[torch.linspace(0, len(usable) - 1, min(MOST, len(usable))).long()]
        rows, targets = [], []
        for part in numbers.split(AT_ONCE):
            batch = train.batch(part)
            y = torch.where(batch.target_observed, batch.target, seasonal_naive(batch, season))
            _, middle = made.centred(batch)
            rows.append(made.inputs(batch))
            targets.append((scaling.apply(y, batch.series) - middle).mT.flatten(0, 1).numpy())
        made.model.fit(np.concatenate(rows), np.concatenate(targets))
        return made

    def centred(self, batch: Batch) -> tuple[Float64[Tensor, "b context c"], Float64[Tensor, "b 1 c"]]:
        z = self.scaling.apply(batch.y, batch.series)
        middle = z[:, -self.season :].mean(1, keepdim=True)
        return z - middle, middle

    def inputs(self, batch: Batch) -> np.ndarray:
        """A row for each window and channel: the context, known covariates, and the calendar of the first step."""
        z, _ = self.centred(batch)
        channels, horizon = z.shape[2], batch.target.shape[1]
        first = batch.future[:, -horizon, self.named :]
        covariates = batch.past.flatten(1), batch.future[..., : self.named].flatten(1)
        beside = torch.cat((*covariates, first, batch.static), 1).double()
        return torch.cat((z.mT, beside[:, None].expand(-1, channels, -1)), 2).flatten(0, 1).numpy()

    def __call__(self, batch: Batch) -> Float64[Tensor, "b horizon c"]:
        _, middle = self.centred(batch)
        found = torch.from_numpy(self.model.predict(self.inputs(batch))).unflatten(0, (len(middle), -1)).mT
        return self.scaling.invert(found + middle, batch.series)
