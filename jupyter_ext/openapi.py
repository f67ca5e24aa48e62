"""The OpenAPI document, made from the table of routes and the schemas of their bodies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from agent_kernel._version import __version__
from jupyter_ext import schemas
from jupyter_ext.route import Route

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "hint"],
            "properties": {name: {"type": "string"} for name in ("type", "message", "hint")},
        }
    },
}


def document(routes: Sequence[Route], base_url: str) -> dict[str, Any]:
    """OpenAPI 3.1 for `routes`."""
    bodies = {name for route in routes for name in route.bodies.values()}
    models: list[Any] = [(getattr(schemas, name), "validation") for name in sorted(bodies)]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "agent-kernel", "version": __version__},
        "servers": [{"url": base_url.rstrip("/")}],
        "security": [{"jupyter": []}, {"kernel": []}],
        "paths": {f"/api/agent/{route.path}": _path(route) for route in routes},
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Error": ERROR},
            "securitySchemes": {
                "jupyter": {"type": "apiKey", "in": "header", "name": "Authorization"},
                "kernel": {"type": "apiKey", "in": "header", "name": "X-Agent-Kernel"},
            },
        },
    }


def _path(route: Route) -> dict[str, Any]:
    parameters = [_parameter(name, "path") for name in re.findall(r"{([a-z]+)}", route.path)]
    parameters += [_parameter(name, "query") for name in route.query]
    methods = [name for name in ("get", "post", "put", "delete") if name in vars_of(route.handler)]
    return {
        **({"parameters": parameters} if parameters else {}),
        **{m: _operation(route, m) for m in methods},
    }


def vars_of(handler: type) -> set[str]:
    """Methods our own classes define, not those every Tornado handler has."""
    ours = [kind for kind in handler.__mro__ if kind.__module__.startswith("jupyter_ext")]
    return {name for kind in ours for name in vars(kind)}


def _operation(route: Route, method: str) -> dict[str, Any]:
    summary = (getattr(route.handler, method).__doc__ or route.handler.__doc__ or "").strip().splitlines()[0]
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "2XX": {"description": "Done."},
            "4XX": {
                "description": "Refused; `message` says why.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if method in route.bodies:
        schema = {"$ref": f"#/components/schemas/{route.bodies[method]}"}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}
