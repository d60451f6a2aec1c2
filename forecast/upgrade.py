"""Documents of older formats -> the one that is written today, so that what was saved once loads for ever.

The format is a number in `forecaster.json`. A new key of the configuration needs no new one if its default does what
was done before: `config.completed` adds it. Whatever else changes in the document, FORMAT goes up by one at the first
such change after a release, and UPGRADES gets a function from the format before; until the next release that function
is what further changes extend. An artifact of each format lies in tests/artifacts, and is never made again.
"""

from collections.abc import Callable
from typing import Any

Document = dict[str, Any]


def squares(document: Document) -> Document:
    """Format 1 was written before there was a release, at last without mean squared seasonal differences: unknown."""
    statistics = document["statistics"]
    unknown = [[None] * len(row) for row in statistics["naive_error"]]
    return {**document, "calibration": None, **document, "statistics": {"naive_square": unknown, **statistics}}


def covariates(document: Document) -> Document:
    """Segments of format 2 took covariates as they are."""
    config = document["config"]
    if config["model"]["name"] != "segment":
        return document
    return {**document, "config": {**config, "model": {"covariates": None, **config["model"]}}}


UPGRADES: dict[int, Callable[[Document], Document]] = {1: squares, 2: covariates}
FORMAT = max(UPGRADES) + 1


def upgraded(document: Document) -> Document:
    """A document of any known format as one of today's."""
    for number in range(document["format"], FORMAT):
        document = {**UPGRADES[number](document), "format": number + 1}
    return document
