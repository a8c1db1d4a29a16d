"""The OpenAPI document of /v1, written from the table of operations and the models of its messages.

It says everything that a client can be answered: every status, every header, every bound.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from loadtests.backend import messages
from loadtests.backend.api import OPERATIONS, Operation
from loadtests.backend.photos import MAGIC
from loadtests.backend.refusals import REASONS
from loadtests.backend.settings import PHOTO_BYTES

_REFERENCE = "#/components/schemas/{model}"

# What has no log-in: summary, type, and the statuses that it can have beside 200, 404, 405 and 500.
PUBLIC: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "/results": ("The page of results", "text/html", ()),
    "/results.json": ("Statewide results, and each county's totals", "application/json", ()),
    "/results.csv": ("Results of every site, in the columns of OpenElections", "text/csv", ()),
    "/results/nist.json": ("Results in the format NIST SP 1500-100", "application/json", ()),
    "/results/counties/{county}.json": ("A county, site by site", "application/json", ()),
    "/results/sites/{site}.json": ("One site", "application/json", ()),
    "/results/releases/{number}.json": ("What was published then", "application/json", (503,)),
    "/results/releases/{number}.csv": ("What was published then", "text/csv", (503,)),
    "/healthz": ("Whether the process lives", "application/json", ()),
    "/readyz": ("Whether it can take reports", "application/json", ()),
    "/metrics": ("Numbers for Prometheus", "text/plain", (503,)),
}
_PLACES: dict[str, dict[str, Any]] = {
    "county": {"type": "string", "minLength": 1, "examples": ["Adair"]},
    "site": {"type": "string", "pattern": messages.SITE_PATTERN},
    "number": {"type": "integer", "minimum": 1, "maximum": 999_999},
}


@cache
def document() -> bytes:
    """The document as it is served."""
    return json.dumps(_document(), ensure_ascii=False).encode()


def _document() -> dict[str, Any]:
    models = {model for one in OPERATIONS for model in (one.body, one.answer) if model is not None}
    models.add(messages.Problems)
    ordered = sorted(models, key=lambda model: model.__name__)
    bodies = {one.body for one in OPERATIONS}
    _, schemas = models_json_schema(
        [(model, "validation" if model in bodies else "serialization") for model in ordered],
        ref_template=_REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    for path, (summary, media_type, statuses) in PUBLIC.items():
        paths[path] = {"get": _public(path, summary, media_type, statuses)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Caucus night: reporting",
            "version": "1",
            "description": "Precincts report, headquarters keys and reviews. Public results have no log-in: /results.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "From /v1/login, for half an hour."}
            },
        },
    }


def _public(path: str, summary: str, media_type: str, statuses: tuple[int, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"} if media_type == "application/json" else {"type": "string"}
    done = {"description": "Done.", "content": {media_type: {"schema": schema}}}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _PLACES[name]}
        for name in _PLACES
        if f"{{{name}}}" in path
    ]
    refused = (405, 500, *statuses) if not parameters else (404, 405, 500, *statuses)
    responses = {"200": done} | {str(status): _refusal(status) for status in sorted(refused)}
    if path == "/readyz":
        responses["503"] = {**_refusal(503), "content": {media_type: {"schema": schema}}}
    return {
        "operationId": f"get{_title(path)}",
        "summary": summary,
        "parameters": parameters,
        "responses": responses,
        "security": [],
    }


def _operation(one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": f"{one.method.lower()}{_title(one.path)}",
        "summary": one.summary,
        "parameters": _parameters(one),
        "responses": _responses(one),
    }
    if one.roles is not None:
        found["security"] = [{"token": []}]
        found["description"] = f"For {' and '.join(sorted(f'{role}s' for role in one.roles))}."
    if one.photo:
        schema = {"type": "string", "format": "binary", "maxLength": PHOTO_BYTES}
        found["requestBody"] = {"required": True, "content": {name: {"schema": schema} for name in MAGIC}}
    elif one.body is not None:
        found["requestBody"] = {"required": True, "content": _json(one.body)}
    return found


def _title(path: str) -> str:
    """A path as part of an operation's name."""
    return "".join(part.strip("{}").title().replace("-", "") for part in path.split("/"))


def _parameters(one: Operation) -> list[dict[str, Any]]:
    found = [_header("X-Device", messages.DEVICE_PATTERN, "Which device; a token is worth nothing on another one.")]
    if one.writes:
        said = "One key a write: sent again with the same content, it is answered again and stored once."
        found.append(_header("Idempotency-Key", messages.KEY_PATTERN, said))
    if one.photo:
        said = "Why a photo that was sent before is replaced."
        found.append({**_header("X-Correction", messages.CORRECTION_PATTERN, said), "required": False})
    if one.of_site:
        site = {"type": "string", "pattern": messages.SITE_PATTERN}
        found.append({"name": "site", "in": "path", "required": True, "schema": site, "description": "Code of a site."})
    if one.page is not None:
        for name, schema in one.page.model_json_schema()["properties"].items():
            schema.pop("title")
            description = schema.pop("description")
            found.append({"name": name, "in": "query", "required": False, "schema": schema, "description": description})
    return found


def _header(name: str, pattern: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": True, "schema": schema, "description": description}


def _responses(one: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if one.answer is not None:
        success["content"] = _json(one.answer)
    if one.gives_photo:
        success["content"] = {name: {"schema": {"type": "string", "format": "binary"}} for name in MAGIC}
    if one.writes:
        success["headers"] = {
            "Idempotency-Replayed": {
                "description": "true: this is the first answer again, nothing was stored.",
                "schema": {"const": "true"},
            }
        }
    found = {str(one.status): success}
    statuses = {405, 408, 429, 500, 503}
    statuses |= {401, 403} if one.roles is not None else {401, 422}
    if one.of_site:
        statuses.add(404)
    if one.body is not None:
        statuses |= {400, 413, 415, 422}
    if one.photo:
        statuses |= {413, 415, 422}
    if one.page is not None or one.writes:
        statuses.add(422)
    if one.conflicts:
        statuses |= {404, 409, 504}
    for status in sorted(statuses):
        found[str(status)] = _refusal(status)
    return found


def _refusal(status: int) -> dict[str, Any]:
    codes = [f"{code}: {reason.line}" for code, reason in REASONS.items() if reason.status == status]
    found: dict[str, Any] = {
        "description": "; ".join(codes) or "The rules do not allow it; each error has a code.",
        "content": _json(messages.Problems),
    }
    integer = {"type": "integer", "minimum": 1}
    if status in (429, 503, 504):
        found["headers"] = {"Retry-After": {"description": "Seconds.", "required": True, "schema": integer}}
    elif status == 405:
        text = {"type": "string"}
        found["headers"] = {"Allow": {"description": "What is possible here.", "required": True, "schema": text}}
    elif status == 401:
        text = {"type": "string"}
        found["headers"] = {"WWW-Authenticate": {"description": "How.", "required": True, "schema": text}}
    return found


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}
