"""whether parts, your own for instance, keep what every part promises: contract by contract"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Prints a verdict on each contract; the parts are those of the configuration, the data are made up.

    Raises Refusal if a contract is broken, or if the parts can't be combined.
    """
    from forecast import build, check
    from forecast.contract import Scaling, Shape
    from forecast.error import Refusal

    build.check(config)
    head = build.part("head", config["head"])
    shape = check.facts(context=48, horizon=24, season=24, width=head.width)

    def make(shape: Shape, scaling: Scaling) -> Any:
        return build.model(config, shape, scaling)

    contracts = [partial(contract, make, shape, head.support) for contract in check.CONTRACTS]
    contracts.append(partial(check.stepping, partial(build.backbone, config["backbone"])))
    broken = [verdict for verdict in map(judged, contracts) if verdict is not None]
    if broken:
        raise Refusal(f"{len(broken)} of {len(contracts)} contracts are broken", "contract")


def judged(contract: Callable[[], None]) -> str | None:
    """Prints the verdict on one contract; what is wrong, if it is broken.

    Raises Refusal if the parts can't be combined.
    """
    from forecast.error import Refusal

    promise = str(contract.func.__doc__).split("\n")[0]  # type: ignore[attr-defined]
    try:
        contract()
    except Refusal:
        raise
    except AssertionError as error:
        found = str(error).strip()
    except Exception as error:  # a part of somebody's own may raise anything
        found = f"{type(error).__name__}: {error}"
    else:
        print(f"kept    {promise}", flush=True)
        return None
    print(f"BROKEN  {promise}\n        {found}", flush=True)
    return found
