"""score any forecast table: unique_id, ds, cutoff, y, and point or q0.1 ... q0.9"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> float:
    """Prints the scores of a CSV and returns its MAE; writes nothing."""
    import pandas as pd

    from forecast.board.summary import summary
    from forecast.data.column import EXACT
    from forecast.data.lines import find
    from forecast.error import Refusal
    from forecast.evaluation.metrics import compared

    if config["table"] is None:
        raise Refusal("which table? Name its file: forecast score forecasts.csv", "config")
    path = find(config["table"], "table")
    try:
        table = pd.read_csv(path, dtype={"unique_id": str}, **EXACT)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} can't be read as comma-separated UTF-8 text: {error}", "unreadable") from None
    scores = compared({Path(path).stem: table})
    print(summary(scores))
    return float(scores["value"].iloc[0])
