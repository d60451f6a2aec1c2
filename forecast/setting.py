"""One setting against what is expected of it: types as annotated, names as in a signature, refused by the nearest."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from lightning.fabric.utilities.exceptions import MisconfigurationException

from forecast.error import Refusal, nearest

FAULTS = (ValueError, TypeError, RuntimeError, ImportError, ZeroDivisionError, MisconfigurationException)


def verify(group: str, name: str, settings: Mapping[str, Any], made: Callable[..., Any], given: int = 0) -> None:
    """Refuses settings of a part that its class does not have, or that are of another type than it says.

    Of its parameters the first `given` are not settings.
    """
    hints = typing.get_type_hints(made.__init__ if inspect.isclass(made) else made)
    known = list(inspect.signature(made).parameters)[given:]
    for key, value in settings.items():
        if key not in known:
            raise Refusal(f"{group}.{key}: '{name}' has no such setting{nearest(key, known)}", "config")
        if not fits(value, hints.get(key, Any)):
            hint = hints[key].__name__ if inspect.isclass(hints[key]) else str(hints[key]).replace("typing.", "")
            raise Refusal(f"{group}.{key}={value}: expected {hint}", "config")


def built(what: str, made: Callable[..., Any], *given: Any, **settings: Any) -> Any:
    """Calls `made`; what it says against its arguments becomes a Refusal."""
    try:
        return made(*given, **settings)
    except (Refusal, *FAULTS) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"{what} can't be built: {error}", "config") from error


def fits(value: Any, hint: Any) -> bool:
    """Whether a yaml value is of an annotated type (numbers, text, None, unions and sequences of them)."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inside)
    if origin is Literal:
        return value in inside
    if origin is not None and issubclass(origin, Mapping):
        pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
        return all(fits(key, inside[0]) and fits(each, inside[1]) for key, each in pairs)
    if origin is not None and issubclass(origin, Sequence):
        return isinstance(value, list | tuple) and all(fits(each, inside[0]) for each in value)
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, types.NoneType if hint is None else origin or hint)


def whole(config: Mapping[str, Any], key: str, least: int, group: str = "") -> None:
    """Refuses what is not a whole number of 64 bits and at least `least`."""
    value = config[key]
    if not fits(value, int) or not least <= value < 2**63:
        raise Refusal(f"{group}{key}={value}: expected a whole number of at least {least}", "config")


def wanted(hint: Any) -> str:
    """An annotated type in words."""
    inside = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(wanted, inside))
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, inside))}"
    if inside and issubclass(typing.get_origin(hint), Mapping):
        return "names with whole numbers, {load: 2}"
    if inside:
        return f"a list of {wanted(inside[0])}, [a,b]"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(hint, "null")
