"""Text of strangers: how it is marked for the model, and what it means for the calls that follow it.

Whoever writes a web page, an issue or a file that was downloaded also writes to the model. Such text is put between
two lines with a random word it cannot know, and until a person speaks again it counts as having been read: calls that
could do harm on its behalf ask first. All of it is a fold of the log, so that a resumed run is as careful.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from html import unescape
from typing import Any

from agent_kernel.events import (
    LOOP,
    ApprovalAnswer,
    ApprovalRequest,
    Event,
    FileChange,
    Json,
    Message,
    ToolCall,
    ToolResult,
)

MOST_SOURCE = 200
_LINES = re.compile(r"\A<outside-[0-9a-f]{16} from=\"[^\"\n]*\">\n?|\n?</outside-[0-9a-f]{16}>\Z")
# Characters nobody sees and a model reads: tags, variation selectors, direction marks. The joiners (200c, 200d) stay:
# several scripts need them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CREDENTIALS = re.compile(
    r"(?<![\w.-])(?:\.env(?:\.(?!example|sample|template|dist)\w+)?|\.netrc|\.pgpass|\.git-credentials|\.npmrc|\.pypirc"
    r"|\.htpasswd|\.Renviron|id_(?:rsa|dsa|ecdsa|ed25519)\w*|kaggle\.json|\.vault-token"
    r"|(?:credentials?|secrets?|service[_-]account[\w-]*|client_secret[\w-]*)(?:\.(?:json|ya?ml|toml|ini|env|txt|db))"
    r"|\.(?:ssh|aws|gnupg|kube|azure)(?=/)|\.docker/config\.json|environ(?=['\"\s)]|$)(?<=/environ)"
    r"|[\w-]+\.(?:pem|p12|pfx|kdbx|keystore)|(?:^|(?<=['\"/]))[\w-]+\.key(?=['\"\s]|$))(?![\w-]|\.\w)",
    re.IGNORECASE | re.MULTILINE,
)
_WRITTEN = frozenset({"content", "old_string", "new_string", "items"})
"""Arguments that are text to be written, not places."""
_ADDRESS = re.compile(
    r"(?P<link>\]\((?=\s*<?([^\s)>\]]+\]?)))"
    r"|\]:\s*<?([^\s>]+)"
    r"|\b(?:(?P<href>href)|src|srcset|poster|background|data|action)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)"
    r"|(?:\burl\(|@import)\s*(\"[^\"]*\"|'[^']*'|[^\s);]+)",
    re.IGNORECASE,
)
"""Addresses in Markdown, HTML and CSS. Each way to read on is as long as the text at most: hostile text may not take
more time for being long."""
_PICTURE, _TAG = re.compile(r"!\["), re.compile(r"<(?:link|image|use|feimage)\b", re.IGNORECASE)
"""What makes a link, or an href, an address that is loaded."""
_REMOTE = re.compile(r"https?:|//", re.IGNORECASE)


# -- marking -----------------------------------------------------------------------------------------


def marked(content: Sequence[Json], source: str) -> tuple[list[Json], int]:
    """`content` between two lines that say where it is from, and how many blocks came in front of it.

    The word in them is random and new each time: what stands between cannot end it. It is stored with the result, so
    the history stays the same to the byte.
    """
    blocks = [{**b, "text": visible(b["text"])} if b.get("type") == "text" else b for b in content]
    word = f"outside-{secrets.token_hex(8)}"
    opening, closing = f'<{word} from="{named(source)}">', f"</{word}>"
    shift = 0
    if blocks and blocks[0].get("type") == "text":
        blocks[0] = {**blocks[0], "text": f"{opening}\n{blocks[0]['text']}"}
    else:
        blocks, shift = [{"type": "text", "text": opening}, *blocks], 1
    if blocks[-1].get("type") == "text":
        blocks[-1] = {**blocks[-1], "text": f"{blocks[-1]['text']}\n{closing}"}
    else:
        blocks.append({"type": "text", "text": closing})
    return blocks, shift


def unmarked(text: str) -> str:
    """`text` as people should see it: the lines are for the model."""
    return _LINES.sub("", _LINES.sub("", text))


def visible(text: str) -> str:
    """`text` without characters that only a model would notice."""
    return _INVISIBLE.sub("", text)


def named(source: str) -> str:
    """A source as one short line that cannot leave its quotes."""
    line = " ".join(re.sub(r'["<>\x00-\x1f\x7f-\x9f]', " ", visible(source)).split())
    return line if len(line) <= MOST_SOURCE else line[: MOST_SOURCE - 1] + "…"


# -- what was read ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Care:
    """`sources` of strangers' text since a person last spoke, each with the tools that brought it, newest last;
    `earlier` ones of the session; `allowed`: what a person has allowed for the session since the newest of all was
    read."""

    sources: dict[str, set[str]] = field(default_factory=dict)
    earlier: dict[str, set[str]] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)

    def newest(self, *, but: str | None = None, own: str = "", ever: bool = False) -> str:
        """The newest source that is not `own` and did not come by the tool `but` alone; empty when there is none.
        `ever`: also of those before the person last spoke."""
        known = {**self.earlier, **self.sources} if ever else self.sources
        return next((s for s in reversed(known) if s != own and known[s] - {but}), "")


def care(events: Iterable[Event]) -> Care:
    """What the next call has to be careful about."""
    found, scopes, tools = Care(), dict[str, str](), dict[str, str]()
    for event in events:
        match event:
            case Message(role="user") if event.by != LOOP:
                found = Care(earlier={**found.earlier, **found.sources}, allowed=found.allowed)
            case Message() if event.content and any(_is_result(block) for block in event.content):
                _read(found, "a web search", "web_search")
            case ToolResult() if event.foreign:
                _read(found, event.foreign, tools.get(event.id, ""))
            case ApprovalRequest():
                scopes[event.id] = event.scope
            case ApprovalAnswer(decision="session") if event.id in scopes:
                found.allowed.add(scopes[event.id])
            case ToolCall():
                tools[event.id] = event.tool
            case _:
                pass
    return found


def _read(found: Care, source: str, tool: str) -> None:
    if source not in found.sources:
        found.allowed.clear()  # a yes was said without knowing of this text
    found.sources.setdefault(source, set()).add(tool)


def _is_result(block: Json) -> bool:
    """A result of a tool that the provider runs itself."""
    return str(block.get("type", "")).endswith("_tool_result")


class Files:
    """Files that calls made while text of strangers came in (downloads, kept outputs), each with its source in
    `found`. Kept from one call to the next: a session's log can be long."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._changes: dict[str, list[str]] = {}

    def add(self, event: Event) -> None:
        """The same event a second time changes nothing."""
        if isinstance(event, FileChange):
            if event.action == "delete":
                self.found.pop(event.path, None)
            elif event.call_id:
                self._changes.setdefault(event.call_id, []).append(event.path)
        elif isinstance(event, ToolResult):
            made = self._changes.pop(event.id, [])
            if event.foreign:
                kept = [event.output_path] if event.output_path else []
                self.found |= dict.fromkeys([*made, *kept], event.foreign)


def file_source(known: dict[str, str], args: Json, content: Sequence[Json]) -> str:
    """Where a file is from that a call named or found, when it is one of `known` (`Files.found`); else empty."""
    if not known:
        return ""
    asked = _places(args)
    told = "\n".join(block["text"][:100_000] for block in content if block.get("type") == "text")
    patterns = [word for word in re.split(r"[\s'\"();|&<>=,]+", asked) if any(mark in word for mark in "*?[")]
    for path, source in known.items():
        last = path.rpartition("/")[2]
        if any(fnmatchcase(last, pattern.rpartition("/")[2]) for pattern in patterns):
            return source
        if _names(asked, last) or f"{path}:" in told:
            return source
    return ""


def _names(asked: str, name: str) -> bool:
    """Whether `name` stands in `asked` by itself. Few of many do at all: only for those a pattern is compiled."""
    return name in asked and bool(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", asked))


def was_seen(events: Iterable[Event], url: str) -> bool:
    """Whether `url` stands, in full, in what a person wrote or what was read: the model did not make it up, so it
    carries nothing of what the model knows."""
    bare = url.partition("#")[0].rstrip("/")
    pattern = re.compile(re.escape(bare) + r"/?(?:#[^\s<>()\[\]\"'`\\]*)?[.,;:!?]?(?=[\s<>()\[\]\"'`\\]|$)")
    return any(pattern.search(text) for event in events for text in _texts(event) if bare in text)


def _texts(event: Event) -> list[str]:
    match event:
        case Message(role="user"):
            return [event.text]
        case Message() if event.content:
            return [json.dumps(block, ensure_ascii=False) for block in event.content if _is_result(block)]
        case ToolResult() if event.foreign:
            return [block["text"] for block in event.content if block.get("type") == "text"]
        case _:
            return []


def made_up(events: Sequence[Event], text: str) -> str:
    """An address that a browser asks for when it shows `text`, and nobody but the model can have written; empty when
    there is none."""
    text = text.replace('\\"', '"')
    loaded = {"link": _PICTURE.search(text), "href": _TAG.search(text)}
    for found in _ADDRESS.finditer(text):
        begun = [loaded[kind] for kind in loaded if found[kind]]
        if begun and (begun[0] is None or begun[0].start() > found.start()):
            continue  # a link: a person may follow it, nothing loads it
        # As browsers read it: references are resolved, blanks left out, and a backslash is a slash.
        said = unescape(next(filter(None, found.group(2, 3, 5, 6))).strip("\"'"))
        address = re.sub(r"[\x00-\x20]", "", said).replace("\\", "/")
        if address.lower().startswith("data:") or not _REMOTE.search(address):
            continue
        whole = f"https:{address}" if address.startswith("//") else address
        if not was_seen(events, whole):
            return named(whole)
    return ""


# -- what could do harm ----------------------------------------------------------------------------------


def credentials(args: Json) -> str:
    """The name of a file of credentials that a call touches; empty when it names none."""
    found = _CREDENTIALS.search(_places(args))
    return found.group() if found else ""


def _places(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(_places(item) for name, item in value.items() if name not in _WRITTEN)
    if isinstance(value, list):
        return "\n".join(map(_places, value))
    return value if isinstance(value, str) else ""


def because(source: str) -> str:
    """Why a person is asked who would not be asked otherwise."""
    return f"Asks because text from {source} was read before, and may be what wants this."
