"""What the model gets of a session's servers: tools of their own for a few, `tool_search` and `mcp_call` for all.

`mcp_call` stands for the tool its arguments name: that tool's permission is asked for, under that tool's name.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.mcp.connection import Connection
from agent_kernel.mcp.declared import Declared
from agent_kernel.mcp.results import source_of, tool_output
from agent_kernel.mcp.servers import Chosen, McpServers, asks_nobody
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.calls import invalid
from agent_kernel.tools.output import line_of

MOST_FOUND, MOST_SCHEMA = 10, 4_000
READ_RESOURCE = "read_resource"
MOST_NAMED = 64
CHANGED = (
    "{server} no longer says that {tool} only reads, so a person has to be asked. Call it with mcp_call, "
    "or let the person refresh the tools."
)
LIES = "(Its structured result is not what {server} says this tool gives: {problem} It is left out.)"


def session_tools(servers: McpServers, chosen: Chosen, only: Sequence[str] | None = None) -> list[Tool]:
    """The tools of a run; what the model sees of them depends on `chosen` alone, and on the names of the
    servers that an agent is kept to (None: all)."""
    named = {name: count for name, count in chosen.servers.items() if only is None or name in only}
    if not named:
        return []
    return [
        *(_direct(servers, tool) for tool in chosen.direct if tool.server in named),
        _search(servers, named, only),
        _call(servers, only),
    ]


def _direct(servers: McpServers, declared: Declared) -> Tool:
    reads = _reads(servers, declared)

    async def run(args: Json, context: ToolContext) -> ToolOutput:
        return await call(servers, declared.server, declared.tool, args, context, unasked=reads)

    return Tool(
        name=declared.name,
        description=declared.description,
        input_schema=declared.input_schema,
        access="read" if reads else "outside",
        run=run,
        describe=lambda args: said(declared.server, declared.tool, args),
        summary=declared.description,
        foreign=True,
        sends=True,
        source=source_of(declared.server),
    )


def _reads(servers: McpServers, declared: Declared) -> bool:
    """Whether nobody has to be asked: the server's word and the person's together."""
    try:
        config = servers.connection(declared.server).config
    except ToolError:
        return False
    return asks_nobody(config, declared)


async def call(
    servers: McpServers, server: str, name: str, args: Json, context: ToolContext, *, unasked: bool = False
) -> ToolOutput:
    """One call of a server's tool. `unasked`: it was let through because it only reads."""
    connection = servers.connection(server)
    tools = await connection.tools()
    seconds = context.seconds(connection.config.timeout)
    if name == READ_RESOURCE and not any(tool.tool == name for tool in tools):
        return await _read(connection, args, context, seconds)
    tool = next((tool for tool in tools if name in (tool.tool, tool.name)), None)
    if tool is None:
        raise ToolError(f"{server} has no tool {name!r}.", hint="Look with tool_search what it has.")
    if unasked and not asks_nobody(connection.config, tool):
        raise ToolError(CHANGED.format(server=server, tool=tool.tool))
    if problem := invalid(_checked(tool), args):
        raise ToolError(problem)
    result = await connection.call(tool.tool, args, seconds=seconds, emit=context.emit, ask=context.ask)
    return await tool_output(server, result, context, _lie(tool, result))


async def _read(connection: Connection, args: Json, context: ToolContext, seconds: float) -> ToolOutput:
    """A resource that a result named; servers have no tool for it, the protocol has."""
    from mcp_types import CallToolResult

    uri = args.get("uri")
    if not isinstance(uri, str):
        raise ToolError("read_resource needs the resource's uri.")
    found = await connection.read(uri, seconds=seconds)
    return await tool_output(
        connection.config.name, CallToolResult(content=[]), context, resources=found.contents
    )


def _checked(tool: Declared) -> Tool:
    """The tool as `invalid` wants it."""

    async def nothing(args: Json, context: ToolContext) -> ToolOutput:
        raise AssertionError("only its schema is used")

    return Tool(tool.name, tool.description, tool.input_schema, "outside", nothing, str)


def _lie(tool: Declared, result: object) -> str:
    """A server whose structured result is not what it declared: the model should know."""
    value = getattr(result, "structured_content", None)
    if tool.output_schema is None or value is None:
        return ""
    checked = Tool(f"{tool.name} output", "", tool.output_schema, "outside", _checked(tool).run, str)
    problem = invalid(checked, value)
    return LIES.format(server=tool.server, problem=problem.partition("\n")[2][:300]) if problem else ""


def said(server: str, tool: str, args: Json) -> str:
    """The line an approval shows."""
    return f"{server}: {line_of(tool)} {json.dumps(args, ensure_ascii=False)}"


# -- all the others --------------------------------------------------------------------------------------


def _kept_to(only: Sequence[str] | None, server: str) -> None:
    """Raises ToolError for a server that this agent is not to use."""
    if only is not None and server not in only:
        raise ToolError(
            f"This agent does not use the server {server!r}.", hint=f"It uses: {', '.join(only)}."
        )


def _search(servers: McpServers, named: Mapping[str, int], only: Sequence[str] | None) -> Tool:
    async def run(args: Json, context: ToolContext) -> ToolOutput:
        if wanted := args.get("server", ""):
            _kept_to(only, wanted)
        tools, failed = await servers.listed(wanted)
        if only is not None:
            tools = [tool for tool in tools if tool.server in only]
            failed = {name: why for name, why in failed.items() if name in only}
        found = ranked(tools, args["query"])[: args.get("limit", MOST_FOUND)]
        parts = [_shown(tool) for tool in found] or ["No tool fits these words."]
        parts += [f"{name} is not there now: {why}" for name, why in failed.items()]
        if wanted:
            servers.connection(wanted)
        return ToolOutput.text("\n\n".join(parts)[: context.max_output])

    counts = ", ".join(f"{name} ({count})" for name, count in list(named.items())[:MOST_NAMED])
    return Tool(
        name="tool_search",
        description=(
            "Find tools of the connected services by what they do. Gives each tool's server, name, description and "
            f"arguments; call them with `mcp_call`. Services, with how many tools each had: {counts}."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "minLength": 1,
                    "description": "A few words, such as: create issue.",
                },
                "server": {"type": "string", "description": "Only the tools of this service."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        access="read",
        run=run,
        describe=lambda args: str(args.get("query", "")),
        summary="Find a tool of a connected service",
    )


def _shown(tool: Declared) -> str:
    schema = json.dumps(tool.input_schema, ensure_ascii=False)
    if len(schema) > MOST_SCHEMA:
        names = ", ".join(tool.input_schema["properties"])[:MOST_SCHEMA]
        schema = f"(too long to show; arguments: {names})"
    effect = " (only reads)" if tool.read_only else ""
    return f"server: {tool.server}\ntool: {tool.tool}{effect}\n{tool.description}\narguments: {schema}"


def ranked(tools: Sequence[Declared], query: str) -> list[Declared]:
    """Those that share words with `query`, rare words and words of the name counting most."""
    words = [(set(_words(f"{tool.server} {tool.tool}")), set(_words(tool.description))) for tool in tools]
    seen = Counter(word for name, about in words for word in name | about)
    wanted = set(_words(query))

    def score(at: int) -> float:
        name, about = words[at]
        return sum(
            (3.0 if word in name else 1.0) * math.log(1 + len(tools) / seen[word])
            for word in wanted & (name | about)
        )

    scores = {at: score(at) for at in range(len(tools))}
    return [
        tools[at] for at in sorted(scores, key=lambda at: (-scores[at], tools[at].name)) if scores[at] > 0
    ]


def _words(text: str) -> list[str]:
    """Lower case, names split where their writer did, plurals as their singulars."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()
    return [
        word[:-1] if len(word) > 3 and word.endswith("s") else word for word in re.findall(r"[^\W_]+", text)
    ]


def _call(servers: McpServers, only: Sequence[str] | None) -> Tool:
    async def run(args: Json, context: ToolContext) -> ToolOutput:
        _kept_to(only, args["server"])
        declared = servers.known(args["server"], args["tool"])
        unasked = declared is not None and _reads(servers, declared)
        return await call(
            servers, args["server"], args["tool"], args.get("arguments", {}), context, unasked=unasked
        )

    def describe(args: Json) -> str:
        return said(str(args.get("server", "")), str(args.get("tool", "")), args.get("arguments") or {})

    def target(args: Json) -> Tool | None:
        server, name = args.get("server"), args.get("tool")
        if not isinstance(server, str) or not isinstance(name, str):
            return None
        declared = servers.known(server, name)
        return Tool(
            name=declared.name if declared else f"mcp__{server}__{name}",
            description="",
            input_schema={},
            access="read" if declared is not None and _reads(servers, declared) else "outside",
            run=run,
            describe=describe,
            foreign=True,
            sends=True,
            source=source_of(server),
        )

    return Tool(
        name="mcp_call",
        description=(
            "Call a tool of a connected service, as `tool_search` shows it. `read_resource` with a `uri` reads a "
            "resource that a result named."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "server": {"type": "string", "minLength": 1},
                "tool": {"type": "string", "minLength": 1},
                "arguments": {"type": "object", "description": "What the tool's arguments say."},
            },
            "required": ["server", "tool"],
            "additionalProperties": False,
        },
        access="outside",
        run=run,
        describe=describe,
        summary="Call a tool of a connected service",
        target=target,
    )
