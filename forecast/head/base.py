"""What a head promises: to turn the network's numbers into a loss and a forecast, in the head's own units."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

Levels = Sequence[float] | Tensor  # the same for all, ascending, or each its own [*b q]


class Head(ABC):
    """`width` numbers a step and channel; `levels` are the quantiles of its forecasts (none: a point only).

    `span` is what the levels of its quantiles lie between (None: it has none).

    `support` is the targets that its law knows, and so what may be done to them on their way to the head: "real" any
    number, shifted and scaled; "positive" numbers above 0, scaled only; "count" whole numbers from 0, left as they
    are. Other targets are for `build` to refuse; here they only give finite numbers. Heads that learn nothing of their
    own keep no parameters: the network makes all `width` numbers.

    `classes` are the names of what a head tells apart instead of values, by number (none: values).
    """

    width: int
    levels: tuple[float, ...] = ()
    span: tuple[float, float] | None = (0.0, 1.0)
    support = "real"
    classes: tuple[str, ...] = ()

    @abstractmethod
    def loss(self, params: Float[Tensor, "b h c w"], target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        """The loss of each step."""

    @abstractmethod
    def point(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c"]:
        """The best single number; the median where there are quantiles."""

    @abstractmethod
    def quantiles(self, params: Float[Tensor, "b h c w"], levels: Levels) -> Float[Tensor, "b h c q"]:
        """Quantiles that never cross; levels outside `span` are an error."""

    @abstractmethod
    def sample(self, params: Float[Tensor, "b h c w"], n: int) -> Float[Tensor, "n b h c"]:
        """Independent draws for each step."""

    @property
    def begin(self) -> tuple[float, ...]:
        """The numbers that an untrained network gives, but for noise [w]."""
        return (0.0,) * self.width

    def number(self, target: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        """The number of the class that each target is in; without classes the target."""
        return target

    def probabilities(self, params: Float[Tensor, "b h c w"]) -> Float[Tensor, "b h c k"]:
        """The probability of each class."""
        return params[..., :0]
