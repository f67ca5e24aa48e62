"""Programs that say they are MCP servers: `hostile.py WHAT`."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

WHAT = sys.argv[1]
BITES = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^(a+)+$"}}}


def bomb() -> dict[str, Any]:
    """Each level is the level below twice: 2 ** 40 of them."""
    levels: dict[str, Any] = {
        f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}, {"$ref": f"#/$defs/l{n + 1}"}]} for n in range(40)
    }
    levels["l40"] = {"pattern": "^(a+)+$"}
    return {"type": "object", "$defs": levels, "properties": {"text": {"$ref": "#/$defs/l0"}}}


SCHEMAS: dict[str, Any] = {
    "remote": {"type": "object", "properties": {"x": {"$ref": "http://169.254.169.254/latest"}}},
    "itself": {"type": "object", "properties": {"x": {"$ref": "#"}}},
    "top": {"oneOf": [{"type": "object"}, {"type": "string"}], "type": "object"},
    "odd": {
        "type": "object",
        "properties": {"a b": {"type": ["string", "spaceship"]}},
        "required": ["a b"],
    },
    "wrong": {"type": "object", "properties": {"x": {"minimum": "high", "enum": [], "items": [1]}}},
    "regex": BITES,
    "bomb": bomb(),
    "a" * 300: BITES,
    "same name": BITES,
    "same_name": BITES,
    "liar": {"type": "object"},
    "nonsense": {"type": "object"},
}


def tools() -> list[dict[str, Any]]:
    if WHAT == "thirty":
        return [
            {
                "name": f"make_widget_{number}",
                "description": f"Make widget number {number} of the given size. "
                + "It is a fine widget. " * 12,
                "inputSchema": {
                    "type": "object",
                    "properties": {"size": {"type": "integer", "description": "How large, in millimetres."}},
                    "required": ["size"],
                },
            }
            for number in range(30)
        ]
    if WHAT == "pid":
        return [{"name": name, "inputSchema": {"type": "object"}} for name in ("pid", "hang")]
    if WHAT == "wrong-list":
        return [{"name": "go", "inputSchema": {"type": "object", "required": [3]}}]
    if WHAT == "schemas":
        return [
            {
                "name": name,
                "description": "This one bites.",
                "inputSchema": schema,
                **({"outputSchema": {"type": "object", "required": ["sum"]}} if name == "liar" else {}),
            }
            for name, schema in SCHEMAS.items()
        ]
    return [{"name": "go", "inputSchema": {"type": "object"}}]


def result_of(call: dict[str, Any]) -> Any:
    name = call["params"]["name"]
    if WHAT == "flood-later":
        while True:
            note = {"level": "info", "data": "x" * 100}
            tell({"method": "notifications/message", "params": note}, flush=False)
    if WHAT == "asks":
        return ask(call["params"]["arguments"]["form"])
    if name == "liar":
        return {"content": [], "structuredContent": {"product": 6}}
    if name == "nonsense":
        return {"content": "a text, not a list"}
    if name == "hang":
        time.sleep(3600)
    if name == "pid":
        return {"content": [{"type": "text", "text": str(os.getpid())}]}
    text = f"made {name.rpartition('_')[2]}" if WHAT == "thirty" else "slow but fine"
    return {"content": [{"type": "text", "text": text}]}


def ask(form: str) -> Any:
    """Ask the person for a size, which is proposed, or for a password, which is not; what they said."""
    field = {"type": "integer", "default": 42} if form == "size" else {"type": "string"}
    schema = {"type": "object", "properties": {form: field}, "required": [form]}
    params = {"message": f"What {form}?", "requestedSchema": schema}
    tell({"id": "question", "method": "elicitation/create", "params": params})
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == "question":
            return {"content": [{"type": "text", "text": json.dumps(message["result"])}]}
    return {"content": []}


def tell(message: dict[str, Any], *, flush: bool = True) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    if flush:
        sys.stdout.flush()


def answer(request: dict[str, Any]) -> None:
    match request.get("method"):
        case "initialize":
            result: Any = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "hostile", "version": "1"},
            }
        case "tools/list":
            result = {"tools": tools()}
        case "tools/call":
            result = result_of(request)
        case _:
            if "id" in request:
                tell({"id": request["id"], "error": {"code": -32601, "message": "Method not found"}})
            return
    tell({"id": request["id"], "result": result})


match WHAT:
    case "exit":
        sys.stderr.write("no licence\n")
        sys.exit(3)
    case "silent":
        time.sleep(3600)
    case "noise":
        print("this is no MCP server")
        sys.exit(0)
    case "flood":
        while True:
            tell({"method": "notifications/message", "params": {"level": "info", "data": "x"}}, flush=False)
    case "complaints":
        while True:
            sys.stderr.write("x" * 65536)
    case "endless-line":
        while True:
            sys.stdout.write("x" * 65536)
    case _:
        for line in sys.stdin:
            answer(json.loads(line))
