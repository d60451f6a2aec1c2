"""Frames of other libraries at the border: what narwhals knows comes in, tables of the same kind go out."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import narwhals.stable.v2 as nw
import pandas as pd

from forecast.error import Refusal

Method = TypeVar("Method", bound=Callable[..., Any])


def same_kind(method: Method) -> Method:
    """A method whose first argument may be a frame of any library, and which returns a table of the same kind.

    Without a frame the table is of the kind that `self` was fitted on.
    """

    @wraps(method)
    def wrapped(self: Any, frame: Any = None, *given: Any, **named: Any) -> Any:
        kind = self.kind if frame is None else kind_of(frame)
        return told(method(self, as_pandas(frame), *given, **named), kind)

    return wrapped  # type: ignore[return-value]


def kind_of(frame: Any) -> nw.Implementation:
    """The library of a frame; pandas for what is no frame, such as a file's name.

    Raises Refusal for a frame that is not yet computed.
    """
    found = nw.from_native(frame, pass_through=True)
    if isinstance(found, nw.LazyFrame):
        raise Refusal("this frame is lazy: pass frame.collect()", "no-data")
    return found.implementation if isinstance(found, nw.DataFrame) else nw.Implementation.PANDAS


def as_pandas(frame: Any) -> Any:
    """A frame as one of pandas; anything else as it is."""
    kind = kind_of(frame)
    if kind.is_pandas():
        return frame
    arrow(kind)
    return nw.from_native(frame, eager_only=True).to_pandas()


def told(table: pd.DataFrame, kind: nw.Implementation) -> Any:
    """A table as a frame of another library."""
    if kind.is_pandas():
        return table
    made = arrow(kind).Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    return nw.from_arrow(made, backend=kind).to_native()  # type: ignore[arg-type]


def arrow(kind: nw.Implementation) -> Any:
    """pyarrow, through which frames go from one library to another; refused where it is not installed."""
    try:
        import pyarrow  # type: ignore[import-not-found]
    except ImportError:
        raise Refusal(f"a frame of {kind.value} needs pyarrow: pip install 'forecast[parquet]'", "no-pyarrow") from None
    return pyarrow
