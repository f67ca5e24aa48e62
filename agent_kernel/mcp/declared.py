"""What servers say of their tools, tidied: the model and our own checks get nothing of it that could do harm.

A schema of strangers may refer to other hosts, to itself without end, or hold an expression that takes a year to
match. So it is rebuilt from the few words both sides need, without references, within a bounded size. The server
checks the rest itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from agent_kernel.events import Json
from agent_kernel.tools.output import line_of, plain

MOST_NODES, DEEPEST = 2_000, 12
MOST_DESCRIPTION, MOST_HINT = 1_200, 400
MOST_ENUM = 200
LONGEST_NAME = 200
_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_API_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_API_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Declared:
    """One tool of a server. `tool` is the server's own name for it, `name` what the model calls it."""

    server: str
    tool: str
    name: str
    description: str
    input_schema: Json
    read_only: bool = False
    output_schema: Json | None = None

    def param(self) -> Json:
        return {"name": self.name, "description": self.description, "input_schema": self.input_schema}

    @property
    def fits(self) -> bool:
        """Whether the model's endpoint takes it as a tool: property names have a grammar there."""
        return all(_API_PROPERTY.fullmatch(name) for name in _properties(self.input_schema))

    @property
    def size(self) -> int:
        """Characters it takes in a request."""
        return len(json.dumps(self.param(), ensure_ascii=False))


def declared(server: str, tools: Iterable[Any]) -> Iterator[Declared]:
    """The SDK's tools of a server, each under a name of its own; one whose name cannot be shown is left out."""
    taken: set[str] = set()
    for tool in tools:
        if not tool.name or len(tool.name) > LONGEST_NAME or line_of(tool.name) != tool.name:
            continue
        name = tool_name(server, tool.name, taken)
        taken.add(name)
        hints = tool.annotations
        read_only = bool(hints and hints.read_only_hint is True and not hints.destructive_hint)
        title = (hints.title if hints else None) or tool.title or ""
        words = tool.description or title or tool.name
        yield Declared(
            server=server,
            tool=tool.name,
            name=name,
            description=f"[{server}] {brief(words, MOST_DESCRIPTION)}",
            input_schema=tidy(tool.input_schema),
            read_only=read_only,
            output_schema=tidy(tool.output_schema) if _objects(tool.output_schema) else None,
        )


def _objects(schema: Any) -> bool:
    """Whether it is a schema of objects, which structured results are."""
    return isinstance(schema, dict) and schema.get("type") == "object"


def tool_name(server: str, tool: str, taken: set[str]) -> str:
    """`mcp__server__tool`; what does not fit, or is there already, is told apart by a hash."""
    name = f"mcp__{server}__{tool}"
    if _API_NAME.fullmatch(name) and name not in taken:
        return name
    digest = hashlib.sha256(f"{tool}\0{len(taken)}".encode("utf-8", "replace")).hexdigest()[:6]
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:57] + "_" + digest


def brief(text: str, length: int) -> str:
    text = plain(text).strip()
    return text if len(text) <= length else text[:length] + "…"


def tidy(schema: Any) -> Json:
    """An object schema without references, safe to check against and to send. Whatever `schema` is."""
    found = _Tidier(schema).rebuilt(schema)
    words = ("properties", "required", "additionalProperties", "description")
    kept: Json = {key: found[key] for key in words if key in found}
    return {"type": "object", "properties": {}, **kept}


class _Tidier:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._room = MOST_NODES

    def rebuilt(self, schema: Any, depth: int = 0, inside: tuple[str, ...] = ()) -> Json:
        """`schema`'s own part; `{}` (anything goes) where it is too deep, too large, or refers to itself."""
        self._room -= 1
        if not isinstance(schema, dict) or depth > DEEPEST or self._room < 0:
            return {}
        if "$ref" in schema:
            reference = schema["$ref"]
            if not isinstance(reference, str) or reference in inside:
                return {}
            return self.rebuilt(self._target(reference), depth + 1, (*inside, reference))
        found: Json = {}
        self._plain_words(schema, found)

        def part(value: Any) -> Json:
            return self.rebuilt(value, depth + 1, inside)

        if isinstance(schema.get("properties"), dict):
            found["properties"] = {
                key: part(value)
                for key, value in list(schema["properties"].items())[: max(0, self._room)]
                if plain(key) == key
            }
        required = schema.get("required")
        if isinstance(required, list):
            names = [name for name in required if isinstance(name, str) and plain(name) == name]
            found["required"] = list(dict.fromkeys(names))[:MOST_ENUM]
        for key in ("items", "additionalProperties"):
            value = schema.get(key)
            if isinstance(value, dict):
                found[key] = part(value)
        if schema.get("additionalProperties") is False and "patternProperties" not in schema:
            found["additionalProperties"] = False
        for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            value = schema.get(key)
            if isinstance(value, list) and 0 < len(value) <= max(0, self._room):
                # `oneOf` of parts that were simplified could match twice.
                found["anyOf" if key == "oneOf" else key] = [part(item) for item in value]
        return found

    def _target(self, reference: str) -> Any:
        """What a reference within the document leads to; nothing for one that leads out of it."""
        if not reference.startswith("#"):
            return {}
        at = self._root
        for step in filter(None, reference[1:].split("/")):
            step = step.replace("~1", "/").replace("~0", "~")
            at = at.get(step) if isinstance(at, dict) else None
        return at

    @staticmethod
    def _plain_words(schema: Json, found: Json) -> None:
        """Keywords that hold no schemas."""
        kind = schema.get("type")
        kinds = [kind] if isinstance(kind, str) else kind if isinstance(kind, list) else []
        kinds = [one for one in kinds if isinstance(one, str) and one in _TYPES]
        if kinds:
            found["type"] = kinds[0] if len(kinds) == 1 else sorted(set(kinds), key=kinds.index)
        words = schema.get("description") or schema.get("title")
        hint = brief(words, MOST_HINT) if isinstance(words, str) else ""
        if isinstance(schema.get("pattern"), str):
            hint = f"{hint} (matches {brief(schema['pattern'], 100)})".strip()
        if hint:
            found["description"] = hint
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if isinstance(values, list) and 0 < len(values) <= MOST_ENUM:
            found["enum"] = [value for value in values if value is None or _scalar(value)]
            if not found["enum"] or len(json.dumps(found["enum"])) > 4_000:
                del found["enum"]
        for key in _COUNTS:
            if type(schema.get(key)) is int and 0 <= schema[key] < 1 << 53:
                found[key] = schema[key]
        for key in _BOUNDS:
            if not isinstance(schema.get(key), str | bool) and _scalar(schema.get(key)):
                found[key] = schema[key]
        if isinstance(schema.get("format"), str):
            found["format"] = brief(schema["format"], 40)
        default = schema.get("default")
        if _scalar(default) and len(str(default)) <= 200:
            found["default"] = default


def _scalar(value: Any) -> bool:
    """A value JSON can hold that is not an object, a list or null."""
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                yield from value
                for part in value.values():
                    yield from _properties(part)
            else:
                yield from _properties(value)
    elif isinstance(schema, list):
        for part in schema:
            yield from _properties(part)
