"""Generates `src/events.ts` from `agent_kernel.events`; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agent_kernel.events import KNOWN_EVENTS, event_schema

TARGET = Path(__file__).parent / "src" / "events.ts"
HEADER = "// Generated from agent_kernel/events.py by widgets/generate_events.py. Do not edit.\n"
FOOTER = """
/** An event of a type or version this program does not know: shown, not dropped. */
export interface UnknownEvent {
  type: string;
  run_id: string;
  seq: number;
  version: number;
  turn: number;
  timestamp: number;
  [field: string]: unknown;
}

export const KNOWN_TYPES: ReadonlySet<string> = new Set([%s]);
"""


def generated() -> str:
    """The whole file."""
    definitions: dict[str, Any] = event_schema()["$defs"]
    parts = [HEADER]
    parts += [_interface(name, definitions[name]) for name in definitions]
    names = " | ".join(event.__name__ + "Event" for event in KNOWN_EVENTS)
    parts.append(f"export type AnyEvent = {names};\n")
    types = ", ".join(f"'{event.model_fields['type'].default}'" for event in KNOWN_EVENTS)
    return "\n".join(parts) + FOOTER % types


EVENTS = {event.__name__ for event in KNOWN_EVENTS}


def _name(name: str) -> str:
    """Plain names like `Error` would hide what the browser has."""
    return name + "Event" if name in EVENTS else name


def _interface(name: str, schema: dict[str, Any]) -> str:
    text = " ".join(schema.get("description", "").replace("`", "").split())
    lines = [f"/** {text} */"] if text else []
    lines.append(f"export interface {_name(name)} {{")
    # A field with a default is still there in every event: all are written out.
    lines += [f"  {field}: {_type(kind)};" for field, kind in schema["properties"].items()]
    return "\n".join([*lines, "}", ""])


def _type(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return f"'{schema['const']}'"
    if "enum" in schema:
        return " | ".join(f"'{value}'" for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    if "$ref" in schema:
        return _name(str(schema["$ref"]).rsplit("/", 1)[-1])
    kind = schema.get("type")
    if kind == "array":
        return f"Array<{_type(schema.get('items', {}))}>"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {_type(values) if isinstance(values, dict) else 'unknown'}>"
    return {
        "string": "string",
        "integer": "number",
        "number": "number",
        "boolean": "boolean",
        "null": "null",
    }.get(str(kind), "unknown")


def main() -> int:
    text = generated()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            sys.stderr.write("widgets/src/events.ts is out of date: run `make fix`.\n")
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
