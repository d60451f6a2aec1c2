"""answer over HTTP: forecasts of rows that are sent, rows that are told, and a page to drop a CSV on"""

from pathlib import Path
from typing import Any


def main(config: dict[str, Any], folder: Path | None) -> None:
    """Serves until a signal ends it, and says where."""
    from forecast.error import Refusal

    try:
        from forecast.service.server import serve
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in ("starlette", "uvicorn", "h11", "prometheus_client"):
            raise
        raise Refusal(f"serving needs {error.name}: pip install 'forecast[serve]'", "no-serve") from None
    serve(config)
