"""whether parts, or a saved forecaster, keep what every one promises: contract by contract"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Prints a verdict on each contract: of the parts of the configuration with data that are made up, or of a `run`.

    Raises Refusal if a contract is broken, or if the parts can't be combined.
    """
    from forecast.error import Refusal

    contracts = saved(config["run"], config["rows"]) if config["run"] else parts(config)
    broken = [verdict for verdict in map(judged, contracts) if verdict is not None]
    if broken:
        raise Refusal(f"{len(broken)} of {len(contracts)} contracts are broken", "contract")


def parts(config: dict[str, Any]) -> list[Callable[[], Any]]:
    """The contracts of models, for the parts of a configuration."""
    from forecast import build, check
    from forecast.contract import Scaling, Shape

    build.check(config)
    head = build.part("head", config["head"])
    shape = check.facts(context=48, horizon=24, season=24, width=head.width)

    def make(shape: Shape, scaling: Scaling) -> Any:
        return build.model(config, shape, scaling)

    contracts = [partial(contract, make, shape, head.support) for contract in check.CONTRACTS]
    return [*contracts, partial(check.stepping, partial(build.backbone, config["backbone"]))]


def saved(run: str, source: str | None) -> list[Callable[[], Any]]:
    """The promises of a fitted forecaster, for the one that is saved in a folder."""
    from forecast import promise
    from forecast.forecaster import Forecaster

    forecaster = Forecaster.load(run)
    rows, what = promise.rows(forecaster, source)
    print(f"{forecaster.name}, with {what}")
    return [partial(each, forecaster, rows) for each in promise.PROMISES]


def judged(contract: Callable[[], Any]) -> str | None:
    """Prints the verdict on one contract, with the evidence if there is some; what is wrong, if it is broken.

    Raises Refusal if the parts can't be combined.
    """
    from forecast.error import Refusal

    promise = str(contract.func.__doc__).split("\n")[0]  # type: ignore[attr-defined]
    try:
        evidence = contract()
    except Refusal:
        raise
    except AssertionError as error:
        found = str(error).strip()
    except Exception as error:  # a part of somebody's own may raise anything
        found = f"{type(error).__name__}: {error}"
    else:
        print(f"kept    {promise}" + (f"\n        {evidence}" if evidence else ""), flush=True)
        return None
    print(f"BROKEN  {promise}\n        {found}", flush=True)
    return found
