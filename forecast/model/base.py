"""The steps that all models share: scale, normalize, run the network, judge or map back.

y, data units --Scaling--> scaled --normalizer--> z --network--> head's numbers --> x scale + loc --> data units
"""

import math
import resource
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from forecast.contract import Batch, Scaling, Shape, joined, mix
from forecast.error import Diverged, Refusal
from forecast.head.base import Head
from forecast.model._beside import STARTS
from forecast.model._finite import Finite


class Emphasis(NamedTuple):
    """What training weighs beyond the plain mean of the head's loss, by which validation judges.

    `steps` are the weights of the horizon, of mean 1. A step counts `spike` times if its target lies further from the
    middle of training than `spike_from` of its standard deviations (whether others do or not, so that a batch can be
    cut anywhere). `l1` times the sum of absolute weights is added.
    """

    steps: Sequence[float]
    spike: float
    spike_from: float
    l1: float

    @property
    def even(self) -> bool:
        """Whether all steps count the same."""
        return self.spike == 1 and set(self.steps) == {1.0}


class Parts(NamedTuple):
    """What every model is given besides its own numbers."""

    head: Head
    normalizers: Sequence[Any]
    scaling: Scaling
    optimize: Callable[[lightning.LightningModule], Any]
    emphasis: Emphasis
    seed: int


class Mapped(NamedTuple):
    """The network's numbers and the way back to scaled units: numbers x scale + loc."""

    params: Float32[Tensor, "b horizon c w"]
    loc: Float64[Tensor, "b steps c"]
    scale: Float64[Tensor, "b 1 c"]


class Normalized(NamedTuple):
    """A context as networks see it, and the way back to scaled units: z x scale + loc."""

    z: Float32[Tensor, "b context c"]
    loc: Float64[Tensor, "b steps c"]
    scale: Float64[Tensor, "b 1 c"]


class Model(lightning.LightningModule):
    """A LightningModule whose subclasses add only the network: `network(z, batch) -> params`.

    `skip` is what a network's numbers are added to: nothing, the last value, or a linear map of the context.
    """

    recurrent = True  # whether it has a backbone
    attends = False  # whether a decoder looks back: then `weights` [b horizon context] says where
    weights: Tensor | None = None

    def __init__(self, shape: Shape, parts: Parts, skip: str = "none"):
        super().__init__()
        if skip != "none" and parts.head.support != "real":
            raise Refusal(f"model.skip={skip} shifts the law of the head, which may not be shifted: use none", "config")
        self.shape, self.head, self.optimize, self.seed = shape, parts.head, parts.optimize, parts.seed
        self.kind = parts.scaling.kind
        self.normalizers: Any = nn.ModuleList(parts.normalizers)
        self.skip = STARTS[skip](shape)
        self.loc: Tensor
        self.scale: Tensor
        self.register_buffer("loc", parts.scaling.loc, persistent=False)  # kept, as plain numbers, by the forecaster
        self.register_buffer("scale", parts.scaling.scale, persistent=False)
        self.emphasis = parts.emphasis
        self.steps: Tensor
        self.register_buffer("steps", torch.tensor(parts.emphasis.steps), persistent=False)
        self.losses, self.epoch_so_far = Finite(), dict[str, Any]()

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets the name of the hook that runs, as Lightning does forty times a step, without torch's questions."""
        if name == "_current_fx_name":
            vars(self)[name] = value
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def network(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float[Tensor, "b horizon c w"]:
        """The numbers of the head for each step and channel, from the normalised context."""

    def reading(self, size: int, values: int) -> nn.Linear:
        """The layer that makes the head's numbers of so many values, which begin as the head says."""
        layer = nn.Linear(size, values * self.shape.width)
        with torch.no_grad():
            layer.bias.unflatten(0, (values, -1)).add_(torch.tensor(self.head.begin, device=layer.bias.device))
        return layer

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The weights as plain arrays, from which `build.restored` makes a copy in another process."""
        return {name: weight.detach().cpu().numpy() for name, weight in self.state_dict().items()}

    @property
    def scaling(self) -> Scaling:
        return Scaling(self.kind, self.loc, self.scale)

    def features(self, z: Float32[Tensor, "b context c"], batch: Batch) -> Float32[Tensor, "b context d"]:
        """What a backbone sees: the series, the past covariates and the known ones, step by step."""
        return joined(z, batch.past, batch.future[:, : self.shape.context])

    def normalized(self, batch: Batch) -> Normalized:
        z = self.scaling.apply(batch.y, batch.series)
        loc, scale = torch.zeros_like(z[:, :1]), torch.ones_like(z[:, :1])
        for normalizer in self.normalizers:
            z, inner_loc, inner_scale = normalizer(z, batch.y_observed, batch.clock)
            loc, scale = inner_loc * scale + loc, inner_scale * scale
        return Normalized(z.float(), loc, scale)

    def forward(self, batch: Batch) -> Mapped:
        z, loc, scale = self.normalized(batch)
        return Mapped(self.network(self.seen(z), batch).float(), loc + self.skip(z) * scale, scale)

    def seen(self, z: Float32[Tensor, "*b c"]) -> Float32[Tensor, "*b c"]:
        """Values as the network sees them: on a scale like that of logarithms if nothing else may scale them."""
        return z if self.head.support == "real" else z.asinh()

    def forecast(
        self, batch: Batch, levels: Sequence[float]
    ) -> tuple[Float64[Tensor, "b horizon c"], Float64[Tensor, "b horizon c q"]]:
        """Point and quantiles at `levels` (ascending), in data units."""
        params, loc, scale = self(batch)
        quantiles = self.head.quantiles(params, levels) * scale[..., None] + loc[..., None]
        point = self.head.point(params) * scale + loc
        return self.scaling.invert(point, batch.series), self.scaling.invert(quantiles, batch.series)

    def loss(
        self, mapped: Mapped, target: Float64[Tensor, "b horizon c"], batch: Batch
    ) -> Float[Tensor, "b horizon c"]:
        """The loss of each step in the network's units (0 where unobserved); `target` is in scaled units."""
        loss = self.head.loss(mapped.params, ((target - mapped.loc) / mapped.scale).float())
        return loss * batch.target_observed

    def objective(self, batch: Batch) -> Float[Tensor, "b steps c"]:
        """The loss of each step that training learns from; the last of them are those of the horizon."""
        return self.loss(self(batch), self.scaling.apply(batch.target, batch.series), batch)

    def on_train_start(self) -> None:
        """A run that was resumed within an epoch does not begin one."""
        self.on_train_epoch_start()
        if self.epoch_so_far:
            self.train_sums += torch.tensor(self.epoch_so_far["sums"], device=self.device)
            self.train_batches, self.train_updates, self.train_windows = self.epoch_so_far["counts"]
            self.train_from -= self.epoch_so_far["seconds"]
            self.train_until = perf_counter()

    def on_train_epoch_start(self) -> None:
        self.train_sums = torch.zeros(2, device=self.device)  # loss, gradient norm
        self.train_batches, self.train_updates, self.train_windows, self.train_from = 0, 0, 0, perf_counter()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises Diverged rather than keep weights that are not finite."""
        self.losses.check(self.diverged)
        if not all(x.isfinite().all() for x in checkpoint["state_dict"].values()):
            raise self.diverged("weights became infinite or not a number")
        counts = [self.train_batches, self.train_updates, self.train_windows]
        seconds = perf_counter() - self.train_from
        checkpoint["epoch_so_far"] = {"sums": self.train_sums.tolist(), "counts": counts, "seconds": seconds}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.epoch_so_far = checkpoint["epoch_so_far"]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """What a step draws depends on its place only (torch.manual_seed would take longer than a small network)."""
        seed = mix(self.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def weighed(self, loss: Float[Tensor, "b steps c"], batch: Batch) -> Float[Tensor, "b steps c"]:
        """The loss of each step times what it counts: its window's weight and, over the horizon, the emphasis."""
        if self.emphasis.even:
            return loss * batch.weight[:, None, None]
        weight = self.steps[:, None]
        if self.emphasis.spike != 1:
            far = self.emphasis.spike_from
            far = math.asinh(far) if self.kind == "asinh" else far
            spikes = self.scaling.apply(batch.target, batch.series).abs() > far
            weight = torch.where(spikes, self.emphasis.spike * weight, weight)
        before = loss.shape[1] - self.shape.horizon
        return loss * nn.functional.pad(weight, (0, 0, before, 0), value=1.0) * batch.weight[:, None, None]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        each = self.weighed(self.objective(batch), batch)
        loss = each.mean()
        if self.emphasis.l1:
            loss = loss + self.emphasis.l1 * torch.stack([x.abs().sum() for x in matrices(self)]).sum()
        self.losses.note(loss.detach(), each.detach(), batch.cutoff, self.diverged)
        self.train_sums[0] += loss.detach()
        self.train_batches += 1
        self.train_windows += len(batch.weight)
        return loss

    def diverged(self, what: str, cutoffs: Tensor | None = None) -> Diverged:
        """The error that training ends with, which names windows by the panel's rows seen last."""
        on = "" if cutoffs is None or self._trainer is None else f", on {self.trainer.datamodule.named(cutoffs)}"  # type: ignore[attr-defined]
        where = f"in epoch {self.current_epoch + 1}, after step {self.global_step}"
        return Diverged(f"the {what} {where}{on}: lower optimizer.lr, or set trainer.gradient_clip_val", "diverged")

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        """Clips as the trainer says, and keeps the norm that clipping computes anyway."""
        if gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        else:
            weights = [x for group in optimizer.param_groups for x in group["params"]]
            norm = nn.utils.clip_grad_norm_(weights, gradient_clip_val or math.inf)
            self.train_sums[1] += norm.detach()
            self.train_updates += 1  # fewer than batches where these accumulate

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.train_until = perf_counter()

    def on_train_epoch_end(self) -> None:
        rate = self.train_windows / (self.train_until - self.train_from)
        sums = torch.cat((self.train_sums, self.train_sums.new_tensor([rate])))
        loss, norm, rate = self.trainer.strategy.reduce(sums, reduce_op="mean").tolist()  # all ranks judge alike
        loss, norm = loss / self.train_batches, norm / max(1, self.train_updates)
        self.finite("training", loss)
        self.log_dict(
            {
                "train/loss": loss,
                "train/gradient_norm": norm,
                "train/lr": self.trainer.optimizers[0].param_groups[0]["lr"],
                "train/windows_per_second": rate * self.trainer.world_size,
                **{f"train/{name}": most for name, most in memory().items()},
            }
        )

    def on_validation_epoch_start(self) -> None:
        self.losses.check(self.diverged)
        self.sums = torch.zeros(4, dtype=torch.float64, device=self.device)  # loss, |error|, error^2, count

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        mapped = self(batch)
        target = self.scaling.apply(batch.target, batch.series)
        error = self.head.point(mapped.params) * mapped.scale + mapped.loc - target
        counts = batch.target_observed & (batch.weight > 0)[:, None, None]
        self.sums[0] += (self.loss(mapped, target, batch) * counts).sum(dtype=torch.float64)
        self.sums[1] += (error.abs() * counts).sum()
        self.sums[2] += (error.square() * counts).sum()
        self.sums[3] += counts.sum()

    def on_validation_epoch_end(self) -> None:
        self.sums = self.trainer.strategy.reduce(self.sums, reduce_op="sum")
        self.log_dict(self.judged())

    def judged(self) -> dict[str, float]:
        """The scores of the windows that validation has seen: loss in the network's units, errors in scaled ones."""
        if not self.sums[3]:
            raise Refusal("no target is observed in the validation windows: change data.split", "no-rows")
        loss, mae, mse = (self.sums[:3] / self.sums[3]).tolist()
        self.finite("validation", loss)
        return {"val/loss": loss, "val/mae": mae, "val/mse": mse}

    def finite(self, which: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise self.diverged(f"{which} loss became {loss}")

    @torch.inference_mode()
    def validated(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The same scores over any windows, outside a trainer."""
        self.eval()
        self.on_validation_epoch_start()
        for i, batch in enumerate(batches):
            self.validation_step(batch, i)
        return self.judged()

    def configure_optimizers(self) -> Any:
        return self.optimize(self)


def memory() -> dict[str, float]:
    """The most memory that this process has had so far, and that PyTorch has had of its GPU if it uses one, in MiB."""
    found = {"memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if torch.cuda.is_initialized():
        found["gpu_memory_mib"] = torch.cuda.max_memory_allocated() / (1 << 20)
    return found


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that weight decay and L1 act on, those of two axes and more: not biases, norms and gains."""
    return [x for x in module.parameters() if x.ndim > 1]
