"""The description (OpenAPI 3.1) that a served model gives of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import __version__
from bench.serve.app import (
    BAD_FEATURES,
    BAD_REQUEST,
    BATCH,
    HEALTH,
    INFERENCE,
    MOST_BYTES,
    MOST_ROWS,
    NO_MODEL,
    NOT_AUTHORISED,
    NOT_FOUND,
    OK,
    SYSTEM_ERROR,
    UNSUPPORTED,
)

Schema = dict[str, Any]

CODES = {
    OK: "answered",
    BAD_REQUEST: "not JSON, not of this shape, or too large",
    BAD_FEATURES: "a feature is missing, or no finite number, or no known category",
    NO_MODEL: "no model under this service id",
    SYSTEM_ERROR: "an error of the service; its log says more",
    NOT_FOUND: "no such path",
    UNSUPPORTED: "no such method",
    NOT_AUTHORISED: "no token, or a wrong one",
}


def describe(service: str, model: Mapping[str, Any], token: bool) -> Schema:
    """Describe the service that serves ``model`` (the content of a model file) under the name ``service``.

    ``token`` tells whether it asks for one.
    """
    refusals: Schema = {"401": _response("No token, or a wrong one", _ref("Failure"))} if token else {}
    paths = {
        INFERENCE: {"post": _call("inference", "Score one record", "Request", "Result", refusals)},
        BATCH: {
            "post": _call("batchInference", f"Score up to {MOST_ROWS} records", "BatchRequest", "BatchResult", refusals)
        },
        HEALTH: {"get": _page("health", "Whether the service answers", "application/json", _health(), {})},
        "/metrics": {"get": _page("metrics", "Figures for Prometheus", "text/plain", {"type": "string"}, refusals)},
        "/openapi.json": {
            "get": _page("openapi", "This description", "application/json", {"type": "object"}, refusals)
        },
    }
    paths[HEALTH]["get"]["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Model {model['model']} of case {service}",
            "version": __version__,
            "description": "Answers as FATE-Serving does: HTTP 200 with a retcode, whatever stands in a request. "
            + "; ".join(f"{code}: {text}" for code, text in CODES.items())
            + f". A request has at most {MOST_BYTES} bytes. The score is the probability of class "
            f"{model['class_names'][1]!r}.",
        },
        "security": [{"token": []}] if token else [],
        "paths": paths,
        "components": {
            "schemas": _schemas(service, model),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}} if token else {},
        },
    }


def _schemas(service: str, model: Mapping[str, Any]) -> Schema:
    head = _object({"serviceId": {"type": "string", "const": service}}, ["serviceId"])
    record = {"featureData": _ref("FeatureData"), "sendToRemoteFeatureData": {"type": "object"}}
    item = _object({"index": _INDEX, **record}, ["index", "featureData"])
    items = {"type": "array", "items": item, "minItems": 1, "maxItems": MOST_ROWS}
    batch = _object({"batchDataList": items}, ["batchDataList"])
    about = {"modelId": _TEXT, "modelVersion": _TEXT, "timestamp": {"type": "integer"}}
    result = {"retcode": {"type": "integer", "enum": list(CODES)}, "retmsg": _TEXT}
    score = {"score": {"type": "number", "minimum": 0, "maximum": 1}}
    each = _object({"index": _INDEX, **result, "data": _object(score, [])}, ["index", "retcode", "retmsg", "data"])
    several = {
        "batchDataList": {"type": "array", "items": each},
        "singleInferenceResultMap": {"type": "object", "additionalProperties": each},
    }
    outline = {**result, "flag": {"type": "integer"}}
    whole = ["retcode", "retmsg", "data", "flag"]
    return {
        "FeatureData": _feature_data(model),
        "Request": _object({"head": head, "body": _object(record, ["featureData"])}, ["head", "body"]),
        "BatchRequest": _object({"head": head, "body": batch}, ["head", "body"]),
        "Result": _object({**outline, "data": _object({**score, **about}, [])}, whole),
        "BatchResult": _object({**outline, "data": _object(about, []), **several}, [*whole, *several]),
        "Failure": _object({**outline, "data": {"type": "object"}}, whole),
    }


def _feature_data(model: Mapping[str, Any]) -> Schema:
    """Describe a record: the model's features, or the raw columns that they come from."""
    rules = model["preprocessing"]
    categories = rules.get("categories", {})
    encoded = [f"{column}={value}" for column, values in categories.items() for value in values]
    plain = [name for name in model["features"] if name not in encoded]
    kinds = rules.get("numbers", {})
    properties: Schema = {name: _number(kinds.get(name, "number")) for name in plain}
    properties |= {name: {"type": "number"} for name in encoded}
    properties |= {column: {"type": "string", "enum": values} for column, values in categories.items()}
    either = [
        {"oneOf": [{"required": [column]}, {"required": [f"{column}={value}" for value in values]}]}
        for column, values in categories.items()
    ]
    return {**_object(properties, plain), **({"allOf": either} if either else {})}


def _number(rule: str) -> Schema:
    """Describe a number, or the text that stands for one in the raw file (bench.data.record)."""
    digits = r"[-+]?[0-9]{1,15}(\.[0-9]{1,15})?"
    texts = {
        "number": rf"^{digits}(e[-+]?[0-9]{{1,2}})?$",
        "percent": rf"^ ?{digits} ?%?$",
        "months": rf"^ ?{digits}( months)?$",
        "years": r"^(< 1 year|1 year|[2-9] years|10\+ years)$",
    }
    return {"type": ["number", "string"], "pattern": texts[rule]}


_TEXT: Schema = {"type": "string"}
_INDEX: Schema = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _response(description: str, schema: Schema, media: str = "application/json") -> Schema:
    return {"description": description, "content": {media: {"schema": schema}}}


def _call(name: str, summary: str, request: str, result: str, refusals: Schema) -> Schema:
    body = {"required": True, "content": {"application/json": {"schema": _ref(request)}}}
    responses = {"200": _response("The answer; its retcode tells how it went", _ref(result)), **refusals}
    return {"operationId": name, "summary": summary, "requestBody": body, "responses": responses}


def _page(name: str, summary: str, media: str, schema: Schema, refusals: Schema) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _response(summary, schema, media), **refusals},
    }


def _health() -> Schema:
    about = {"modelId": _TEXT, "modelVersion": _TEXT, "timestamp": {"type": "integer"}}
    return _object({"status": _TEXT, "serviceId": _TEXT, **about}, ["status", "serviceId", *about])
