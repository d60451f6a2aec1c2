"""A run that is trained again: whether it is the same to the last bit, and what differs that may have changed it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from forecast import artifact, ensemble
from forecast.document import Contents, read
from forecast.ensemble import Ensemble
from forecast.error import Differs
from forecast.forecaster import Forecaster
from forecast.recipe import laid, opened

LEARNT = ("layout", "statistics", "borders", "shape", "calibration")
MAY_MOVE = {"folder", "data.path"}  # where a run lies, and where its data do
DECIDE = ("configuration", "statistics", "weights", "weights of members")  # the rest is told as what may be the cause


class Verdict(NamedTuple):
    """Whether something is the same, and what is known of it."""

    what: str
    same: bool
    found: str


class Plan(NamedTuple):
    """A saved forecaster, and the settings to train it again."""

    folder: Path
    document: dict[str, Any]
    contents: Contents
    settings: dict[str, Any]


def planned(run: Path, source: str | None = None) -> list[Plan]:
    """What a run or a saved ensemble consists of, if its data are those that it was trained on.

    `source` is the training file, where it lies now. Raises Refusal if it can't be read, Differs for other data.
    """
    plans = []
    several = (run / ensemble.DOCUMENT).is_file()
    for folder in sorted(path.parent for path in run.glob(f"*/{artifact.DOCUMENT}")) if several else [run]:
        document = artifact.document(folder)
        contents = read(document)
        data = {**contents.config["data"], "path": source or contents.config["data"]["path"]}
        settings = {**contents.config, "data": data}
        checked = opened(data, None)
        was, now = contents.record["data"]["sha256"], laid(settings, checked)[0].digest
        if was != now:
            raise Differs(f"{checked.source} is not what {folder} was trained on: sha256 {was}, now {now}", "data")
        plans.append(Plan(folder, document, contents, settings))
    return plans


def repeated(run: Path, plans: list[Plan], out: Path) -> list[Verdict]:
    """Trains again what was planned, saves it below `out`, and says what is the same."""
    made, found = [], []
    for plan in plans:
        home = out / plan.folder.relative_to(run)
        made.append(Forecaster.of(plan.settings).fit(folder=home))
        made[-1].save(home / "forecaster")
        found += verdicts(plan, home / "forecaster")
    if (run / ensemble.DOCUMENT).is_file():
        was = Ensemble.load(run)
        now = Ensemble(made, was.how).learn()
        found.append(Verdict("weights of members", was.weights == now.weights, f"{now.how}: {now.weights}"))
    return found


def verdicts(plan: Plan, again: Path) -> list[Verdict]:
    """What is the same in a saved forecaster and in the one that was trained again."""
    old, new = plan.document, artifact.document(again)
    settings = [set(flat(x["config"]).items()) for x in (old, new)]
    other = sorted({key for key, _ in settings[0] ^ settings[1]} - MAY_MOVE)
    learnt = [key for key in LEARNT if old[key] != new[key]]
    return [
        Verdict("data", True, f"sha256 {old['record']['data']['sha256']}"),
        Verdict(
            "configuration", not other, ", ".join(other) or f"{len(settings[0])} keys, seed {old['config']['seed']}"
        ),
        *surroundings(old["record"].get("made", {}), new["record"]["made"]),
        Verdict("statistics", not learnt, ", ".join(learnt or LEARNT)),
        weighed(*(artifact.weights(x, y, plan.contents.sizes()) for x, y in ((plan.folder, old), (again, new)))),
    ]


def flat(node: Any, path: str = "") -> dict[str, str]:
    """Dotted keys and what they hold, as text."""
    if not isinstance(node, Mapping) or not node:
        return {path: repr(node)}
    return {key: x for name, inner in node.items() for key, x in flat(inner, f"{path}.{name}".lstrip(".")).items()}


def surroundings(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Verdict]:
    """Versions, machine, threads and state of the code, then and now."""
    found = []
    for what in ("python", "versions", "machine", "threads", "git"):
        old, new = flat(was.get(what, "unknown")), flat(now[what])
        changed = [f"{key} {old.get(key)} -> {new.get(key)}" for key in {**old, **new} if old.get(key) != new.get(key)]
        same = [f"{key} {x}" for key, x in new.items()]
        found.append(Verdict(what, not changed, ", ".join(changed or same).replace("'", "").strip()))
    return found


def weighed(was: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Verdict:
    """Whether weights are equal to the last bit."""
    other = [name for name, x in was.items() if x.numpy().tobytes() != now[name].numpy().tobytes()]
    count = sum(x.numel() for x in was.values())
    if not other:
        return Verdict("weights", True, f"{count} numbers in {len(was)} tensors, to the last bit")
    most = max((was[name].double() - now[name].double()).abs().max().item() for name in other)
    return Verdict("weights", False, f"{len(other)} of {len(was)} tensors, by {most:.3g} at most")
