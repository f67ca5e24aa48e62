"""`web_search`: the provider's own where the endpoint has it, else a search engine that the settings name.

The key goes into the request and nowhere else. The engine was chosen by whoever wrote the settings, so reaching it
asks nobody, even at a private address; where its answer leads is not followed.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.sandbox.base import NetworkPolicy
from agent_kernel.sandbox.egress import Gate
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.output import plain
from agent_kernel.tools.web_get import get, place

MOST_BYTES, MOST_SNIPPET = 2 << 20, 600
MOST_RESULTS, USUAL_RESULTS = 20, 8
BRAVE = "https://api.search.brave.com/res/v1/web/search"
TAVILY = "https://api.tavily.com/search"


@dataclass(frozen=True, slots=True)
class Engine:
    """A search engine: `searxng` (its address), `brave` or `tavily` (with a key)."""

    name: str
    url: str
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """One result. `date` is the engine's word for its age."""

    title: str
    url: str
    snippet: str
    date: str = ""


def search_tool(engine: Engine) -> Tool:
    """The tool for one engine."""

    async def run(args: Json, context: ToolContext) -> ToolOutput:
        found = await search(engine, args["query"], args.get("count", USUAL_RESULTS))
        if not found:
            return ToolOutput.text(f"{engine.name} found nothing for {args['query']!r}. Try other words.")
        shown = "\n\n".join(_shown(number, result) for number, result in enumerate(found, 1))
        return ToolOutput.text(shown, foreign=f"a web search ({engine.name})")

    return Tool(
        name="web_search",
        description=(
            "Search the web. Gives titles, addresses and snippets written by strangers; read a page with `web_fetch` "
            "before you rely on it, and cite it as [title](address)."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "maxLength": 400},
                "count": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_RESULTS,
                    "description": f"How many results (default {USUAL_RESULTS}).",
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        access="read",
        run=run,
        describe=lambda args: f"Search for {args.get('query')}",
        summary="Search the web",
        foreign=True,
    )


def provider_search(model: str, old: bool) -> Tool:
    """The Messages API's own web search, which the provider runs within an answer. `old` models know its first form."""

    async def run(args: Json, context: ToolContext) -> ToolOutput:
        raise ToolError(
            "web_search is run by the model's provider, not here.", hint="Use it as a server tool."
        )

    typed: Json = {
        "type": "web_search_20250305" if old else "web_search_20260318",
        "name": "web_search",
        "max_uses": 8,
    }
    if not old:
        typed["allowed_callers"] = ["direct"]
    return Tool(
        name="web_search",
        description=f"Search the web; {model}'s provider does it.",
        input_schema={"type": "object"},
        access="read",
        run=run,
        describe=lambda args: f"Search for {args.get('query')}",
        summary="Search the web, by the model's provider",
        foreign=True,
        typed=typed,
    )


async def search(engine: Engine, query: str, count: int) -> list[Found]:
    """Raises ToolError, in words without the key."""
    ask, read = _ENGINES[engine.name]
    url, request = ask(engine, query, count)
    where = place(url)
    pair = frozenset({(where.host, where.port)})
    got = await get(url, Gate(NetworkPolicy(allow_private=pair)), most=MOST_BYTES, follow=0, **request)
    if got.status != 200:
        raise ToolError(
            f"The search engine {engine.name} answered {got.status}{_REASONS.get(got.status, '')}.",
            hint="Do without, or tell the person.",
        )
    try:
        rows = read(json.loads(got.body))
        found = [_result(row) for row in rows if str(row.get("url", "")).startswith(("http://", "https://"))]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ToolError(
            f"The search engine {engine.name} did not answer as it should.",
            hint="A SearxNG must allow the format `json` in its settings."
            if engine.name == "searxng"
            else "",
        ) from None
    return found[:count]


def _searxng(engine: Engine, query: str, count: int) -> tuple[str, dict[str, Any]]:
    return f"{engine.url.rstrip('/')}/search?q={quote(query)}&format=json", {}


def _brave(engine: Engine, query: str, count: int) -> tuple[str, dict[str, Any]]:
    headers = {"X-Subscription-Token": engine.key, "Accept": "application/json"}
    return f"{engine.url or BRAVE}?q={quote(query)}&count={count}", {"headers": headers}


def _tavily(engine: Engine, query: str, count: int) -> tuple[str, dict[str, Any]]:
    body = {"query": query, "max_results": count}
    headers = {"Authorization": f"Bearer {engine.key}"}
    return engine.url or TAVILY, {"method": "POST", "json": body, "headers": headers}


_ENGINES: dict[
    str, tuple[Callable[[Engine, str, int], tuple[str, dict[str, Any]]], Callable[[Any], list[Json]]]
] = {
    "searxng": (_searxng, lambda said: said["results"]),
    "brave": (_brave, lambda said: (said.get("web") or {}).get("results") or []),
    "tavily": (_tavily, lambda said: said["results"]),
}
_REASONS = {
    401: ": the key is not accepted (setting search_key)",
    403: ": the key is not accepted, or the format is not allowed",
    429: ": too many searches for now",
}


def _result(row: Json) -> Found:
    snippet = _line(row.get("content") or row.get("description") or "")
    date = (
        row.get("publishedDate") or row.get("published_date") or row.get("page_age") or row.get("age") or ""
    )
    return Found(
        _line(row.get("title") or "")[:300], _line(row["url"]), snippet[:MOST_SNIPPET], _line(date)[:40]
    )


def _line(text: Any) -> str:
    """One line without markup: some engines put the words that matched in bold."""
    return " ".join(plain(html.unescape(re.sub(r"</?\w{1,10}>", "", str(text)))).split())


def _shown(number: int, found: Found) -> str:
    date = f" ({found.date})" if found.date else ""
    return f"{number}. {found.title or found.url}{date}\n   {found.url}\n   {found.snippet}".rstrip()
