"""The OpenAPI document: exactly what is taken, by the fields of the forecasters served, and what comes back."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from forecast.service.limits import Limits
from forecast.service.query import FORMATS, LEVELS, PAST
from forecast.service.rows import LONGEST, TYPES
from forecast.service.served import CSV, JSON, Served

REFUSALS = {
    400: "The body or the address is not as this document says; the message says where and what was expected",
    401: "The token is missing or another one",
    404: "No forecaster has this name",
    408: "The body took too long",
    409: "An ensemble can't be told rows",
    413: "The body, its rows or its series are too many",
    415: "The body is neither JSON nor CSV, or compressed",
    422: "The rows can't be forecast, as on the command line: gaps, too few of them, no known future ...",
    429: "Too much at once: ask again later",
}
CELLS = {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[^\\u0000]+$"}
REFUSAL = {
    "type": "object",
    "required": ["code", "message"],
    "additionalProperties": False,
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}
TABLE = {
    "type": "object",
    "required": ["name", "rows", "past"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "rows": {
            "description": "The forecast table: unique_id, ds, cutoff, y (empty), point and a column each level",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["unique_id", "ds", "cutoff", "y", "point"],
                "properties": {name: {"type": "string"} for name in ("unique_id", "ds", "cutoff")},
                "additionalProperties": {"type": ["number", "null"]},
            },
        },
        "past": {"description": "The last values of each series: unique_id, ds, y", "type": "array"},
    },
}


def document(served: Mapping[str, Served], limits: Limits, secured: bool, named: bool) -> dict[str, Any]:
    """OpenAPI 3.1; `secured` if a token is wanted, `named` if a request has to name its forecaster."""
    forecast = {
        "summary": "Forecast what follows the rows of the body, which are not kept",
        "parameters": [name(served, named), levels(), past(), form()],
    }
    observe = {
        "summary": "Take the rows of the body to those that came before, and forecast what follows",
        "parameters": [name(served, named), form()],
    }
    made = {
        "openapi": "3.1.0",
        "info": {"title": "forecast", "version": version("forecast")},
        "paths": {
            "/": {"get": shown("A page on which a CSV is dropped", "text/html", {"type": "string"}, everybody=True)},
            "/health": {"get": shown("Whether it answers", JSON, {"type": "object"}, everybody=True)},
            "/card": {"get": shown("What each forecaster is and takes", JSON, {"type": "object"})},
            "/metrics": {"get": shown("Counters for Prometheus", "text/plain", {"type": "string"})},
            "/openapi.json": {
                "get": shown("This document", JSON, {"type": "object"}) | {"parameters": [name(served, False)]}
            },
            "/forecast": {"post": {**forecast, **body(served, limits), "responses": responses(REFUSALS, 409)}},
            "/observe": {"post": {**observe, **body(served, limits), "responses": responses(REFUSALS)}},
        },
    }
    if secured:
        made["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        made["security"] = [{"token": []}]
    return made


def shown(summary: str, media: str, schema: Mapping[str, Any], *, everybody: bool = False) -> dict[str, Any]:
    """A path that is only looked at."""
    found = {"200": {"description": summary, "content": {media: {"schema": schema}}}}
    found |= {str(code): refusal(REFUSALS[code]) for code in ((400,) if everybody else (400, 401))}
    return {"summary": summary, "responses": found, **({"security": []} if everybody else {})}


def responses(refusals: Mapping[int, str], without: int = 0) -> dict[str, Any]:
    table = {JSON: {"schema": TABLE}, CSV: {"schema": {"type": "string"}}}
    found = {"200": {"description": "The forecast", "content": table}}
    return found | {str(code): refusal(text) for code, text in refusals.items() if code != without}


def refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": REFUSAL}}}


def body(served: Mapping[str, Served], limits: Limits) -> dict[str, Any]:
    """The rows of one of the forecasters, as JSON or CSV."""
    several = [
        {
            "type": "object",
            "required": ["rows"],
            "additionalProperties": False,
            "properties": {
                "rows": {"type": "array", "minItems": 1, "maxItems": limits.rows, "items": row(each)},
            },
        }
        for each in served.values()
    ]
    content = {
        JSON: {"schema": several[0] if len(several) == 1 else {"anyOf": several}},
        CSV: {"schema": {"type": "string", "minLength": 1}},
    }
    return {"requestBody": {"required": True, "content": content}}


def row(served: Served) -> dict[str, Any]:
    """A row of one forecaster: all of its fields and no other."""
    properties = {}
    for field, kind in served.fields.items():
        types = TYPES[kind][0]
        properties[field] = CELLS | {"type": types if isinstance(types, str) else list(types)}
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": {
            name: found if "string" in found["type"] else {"type": found["type"]} for name, found in properties.items()
        },
    }


def name(served: Mapping[str, Served], required: bool) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(served)}
    why = "The forecaster; GET /openapi.json?name= says which fields the rows of one have"
    return {"name": "name", "in": "query", "required": required, "schema": schema, "description": why}


def levels() -> dict[str, Any]:
    number = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    schema = {"type": "array", "minItems": 1, "maxItems": LEVELS, "items": number}
    why = "Quantile levels, 0.1,0.5,0.9; without them those that were trained"
    return {"name": "levels", "in": "query", "style": "form", "explode": False, "schema": schema, "description": why}


def past() -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0, "maximum": PAST, "default": 0}
    return {"name": "past", "in": "query", "schema": schema, "description": "How many of the last values come along"}


def form() -> dict[str, Any]:
    return {"name": "format", "in": "query", "schema": {"type": "string", "enum": list(FORMATS), "default": "json"}}
