"""Runs a command under Hydra: what the user typed -> a composed configuration -> an exit code.

0 done   2 bad input or configuration   3 diverged   4 cannot write   5 differs   6 pruned   75 interrupted
1 a fault of ours, or of a job that died
"""

import logging
import os
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from forecast import config, sweeping
from forecast.allocator import tune_allocator
from forecast.error import ForecastError, Interrupted, Refusal
from forecast.signals import interruptible
from forecast.sweep import plugins
from forecast.sweep.job import own, told
from forecast.terminal import hush

BARE = {
    "fetch": "name",
    "init": "path",
    "report": "path",
    "reproduce": "run",
    "score": "tables",
}  # the key of a word without one
VALUED = ("--cfg", "-c", "--config-dir", "-cd", "--config-name", "-cn", "--package", "-p")  # flags that a word follows
SEVERAL = ("tables",)  # keys that take more than one such word


def run(command: str, rest: list[str]) -> int:
    """Runs `forecast <command> <rest>`; everything that a user can mend ends as one line on stderr."""
    ours = logging.getLogger("forecast")
    ours.setLevel(logging.INFO)
    ours.addHandler(shown := logging.StreamHandler(sys.stderr))
    hush()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints a traceback of its own and exits with 1
    started, refused, sweep, script, mine = False, list[ForecastError](), None, sys.argv, own()

    def job(composed: DictConfig) -> float | None:
        nonlocal started
        started = True
        ours.setLevel(logging.INFO)  # again: of a sweep this may be another process, a launcher's worker
        hush()
        folder = mine if sweep is None else Path(HydraConfig.get().runtime.output_dir)
        if composed.get("allocator"):
            tune_allocator()
        try:
            with told(folder):
                return import_module(f"forecast.command.{command}").main(config.checked(composed), folder)
        except ForecastError as error:
            if sweep is not None:
                raise
            refused.append(error)  # alone it is not raised, so that Hydra does not comment on it
            return None

    try:
        with ExitStack() as stack:
            stack.enter_context(interruptible())
            rest = arguments(command, rest)
            if sweeping.wanted(rest):
                plugins.register()
                sweep = stack.enter_context(sweeping.begun(rest))
                rest = sweeping.overrides(rest, sweep)
            sys.argv = [f"forecast {command}", *rest]  # argparse shows the first
            hydra.main(config_path=str(config.CONF), config_name=command, version_base="1.3")(job)()
        if refused:
            raise refused[0]
        return 0
    except ForecastError as error:
        print(f"forecast {command}: {error}", file=sys.stderr)
        return error.exit
    except (HydraException, OmegaConfBaseException) as error:
        print(f"forecast {command}: {config.explained(error, command)}", file=sys.stderr)
        return 2
    except ValueError as error:
        if started:
            raise
        print(f"forecast {command}: {error}", file=sys.stderr)  # flags of Hydra that don't go together
        return 2
    except KeyboardInterrupt as error:
        print(f"forecast {command}: {str(error) or 'interrupted'}", file=sys.stderr)
        return Interrupted.exit
    finally:
        sys.argv = script
        ours.removeHandler(shown)


def arguments(command: str, rest: list[str]) -> list[str]:
    """What Hydra is given: flags, then overrides that its grammar takes, `score a.csv b.csv` by its key."""
    return config.complete(command, flagged(keyed(command, rest)))


def flagged(rest: list[str]) -> list[str]:
    """Flags and their values before the overrides: argparse takes none between them or after."""
    after = zip(["", *rest], rest, strict=False)
    return [x for _, x in sorted(after, key=lambda pair: pair[0] not in VALUED and pair[1][:1] != "-")]


def keyed(command: str, rest: list[str]) -> list[str]:
    """`score a.csv b.csv` as `score tables=['a.csv','b.csv']`; a word after a flag is the flag's (`--cfg job`)."""
    key = BARE.get(command, "")
    pairs = zip(["", *rest], rest, strict=False)
    plain = [key and x[:1] != "-" and "=" not in x and (flag[:1] != "-" or "=" in flag) for flag, x in pairs]
    bare = [x for x, there in zip(rest, plain, strict=True) if there]
    if not bare:
        return rest
    if key not in SEVERAL and len(bare) > 1:
        raise Refusal(f"forecast {command} takes one {key} at a time, not {' and '.join(bare)}", "config")
    typed = f"{key}={config.written(bare) if key in SEVERAL else bare[0]}"
    first = plain.index(True)
    return [*rest[:first], typed, *(x for x, there in zip(rest[first:], plain[first:], strict=True) if not there)]
