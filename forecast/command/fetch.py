"""fetch a public data set by its name; without one, list them"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Downloads a set and prints where it is, its terms and what to do next; without a name, prints the list."""
    from forecast.data import catalog

    if config["name"] is None:
        for x in catalog.SETS:
            state = "there" if catalog.there(x) else ""
            print(f"{x.name:<14}{x.megabytes:>5g} MB  {state:<7}{x.what}\n{'':<31}{x.licence}; {x.citation}")
        print(f"\nforecast fetch NAME puts one into {catalog.folder()} (the folder FORECAST_DATA, or else datasets)")
        return
    chosen = catalog.chosen(str(config["name"]))
    print(catalog.fetch(chosen))
    print(f"{chosen.what}\nlicence: {chosen.licence}\ncite: {chosen.citation}\nnext: forecast train {chosen.use}")
