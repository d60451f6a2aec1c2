"""train a run again and say whether it is the same: data, configuration, weights to the last bit"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Trains what `run` holds once more, in a folder of its own, and prints what is the same and what is not.

    Exit code 0: configuration, data and all that was learnt are equal, weights to the last bit; other versions or
    another machine are told as well. Else 5 (Differs): for other data before any training.
    """
    from forecast.error import Differs, Refusal
    from forecast.reproduction import DECIDE, planned, repeated
    from forecast.sweep.folder import claimed, stamp

    if not config["run"]:
        raise Refusal("which run? Name its folder: forecast reproduce run=outputs/...", "config")
    run = Path(config["run"])
    plans = planned(run, config["data"]["path"])
    with claimed(Path(config["folder"] or run / "reproduce" / stamp()), folder) as out:
        found = repeated(run, plans, out)
    for what, same, text in found:
        print(f"{what:<19}{'equal' if same else 'DIFFERS':<9}{text}")
    print(f"run: {out}")
    broken = list(dict.fromkeys(each.what for each in found if not each.same))
    if set(broken) & set(DECIDE):
        raise Differs(f"{run} is not reproduced, these differ: {', '.join(broken)}", "differs")
