"""Everything a model, a tool or a file said is hostile text until it has gone through here."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from agent_kernel.tools.output import plain

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

# Characters that reorder or hide text: what is read must be what is there.
_DECEIVING = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_FROM_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_BLOCK_TAGS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "s",
    "del", "hr", "br", "table", "thead", "tbody", "tr", "th", "td", "a",
}  # fmt: skip
_TABLE_TAGS = {"table", "thead", "tbody", "tfoot", "tr", "th", "td"}
RASTER = ("image/png", "image/jpeg", "image/gif", "image/webp")


def visible(text: str) -> str:
    """`text` without terminal escapes and control characters; characters that deceive are spelled out."""
    text = plain(text.encode("utf-8", "replace").decode())
    return _DECEIVING.sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", text)


def escaped(text: str) -> str:
    return html.escape(visible(text), quote=True)


def line(text: str, most: int = 120) -> str:
    """`text` on one line."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def capped(text: str, most: int) -> str:
    """Head and tail of a long text, with a note between them."""
    if len(text) <= most:
        return text
    head, tail = text[: most * 2 // 3], text[-most // 3 :]
    return f"{head}\n… {len(text) - len(head) - len(tail):,} characters left out …\n{tail}"


def fence(text: str, language: str = "") -> str:
    """A Markdown code block that nothing in `text` can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def inline_code(text: str) -> str:
    """Text as Markdown code within a line."""
    flat = line(text)
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{ticks}{pad}{flat}{pad}{ticks}"


_CHAR, _LONG = r"&[#\w]+;|[^\s&]", 24
"""One character of HTML text, and of how many a word is made that may be broken."""


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    parser.core.ruler.push("direction", _direct)
    return parser


def _direct(state: StateCore) -> None:
    """Hebrew, Arabic and their like: each block is read in its own direction; one within another follows it."""
    if _FROM_RIGHT.search(state.src):
        for token in state.tokens:
            if token.nesting == 1 and (token.level == 0 or token.type in ("th_open", "td_open")):
                token.attrSet("dir", "auto")


def _image(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """Pictures from elsewhere would tell a stranger who reads this: only their words are kept."""
    return f"[image: {html.escape(tokens[index].content)}]"


def markdown_html(text: str) -> str:
    """Markdown as HTML: no raw HTML, links to the web and to mail only."""
    import nh3

    rendered = _parser().render(visible(text))
    clean = nh3.clean(
        rendered,
        tags=_BLOCK_TAGS,
        attributes={"a": {"href"}, "*": {"dir"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    # In clean HTML a bracket of the text is no bracket any more.
    return re.sub(r"<table>.*?</table>", _fitting, clean, flags=re.DOTALL)


def _fitting(table: re.Match[str]) -> str:
    """A table whose long words may be broken, so that it fits; one that is too wide nevertheless scrolls by itself."""
    parts = re.split(r"(<[^>]*>)", table[0])
    parts[::2] = [re.sub(rf"(?:{_CHAR}){{{_LONG},}}", _breakable, part) for part in parts[::2]]
    return f'<div style="overflow-x: auto">{"".join(parts)}</div>'


def _breakable(word: re.Match[str]) -> str:
    return re.sub(rf"(?:{_CHAR}){{{_LONG // 2}}}", r"\g<0><wbr>", word[0])


def markdown_text(text: str) -> str:
    """Markdown that holds no HTML: for places that would render it.

    Only a code block that begins at the margin is left as it is: inside a list, a line further out would end it.
    """
    kept: list[str] = []
    fenced = ""
    for row in visible(text).split("\n"):
        marks = re.match(r"(`{3,}(?=[^`]*$)|~{3,})", row)
        if fenced:
            kept.append(row)
            if re.fullmatch(rf" {{0,3}}{fenced[0]}{{{len(fenced)},}}\s*", row):
                fenced = ""
            continue
        fenced = marks[1] if marks else ""
        kept.append(row if marks else _defused(row))
    if fenced:  # a block left open would swallow what follows
        kept.append(fenced)
    return "\n".join(kept)


def markdown_line(text: str, most: int = 500) -> str:
    """One line of Markdown without HTML."""
    return _defused(line(text, most))


def _defused(row: str) -> str:
    """No tag can begin, no picture is loaded, and links lead to the web only."""
    row = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", row)
    row = re.sub(r"!\[", "\\![", row)
    row = re.sub(r"\]\(\s*(?!https?://|mailto:|#)[^)\s]*:[^)]*\)", "](#)", row)
    return re.sub(r"^(\s{0,3}\[[^\]]+\]:\s*)(?!https?://|mailto:)\S*:\S*", r"\1#", row)


def table_html(text: str) -> str:
    """The tables in `text`, and nothing else of it. Empty when there is none."""
    import nh3

    cleaned = nh3.clean(visible(text), tags=_TABLE_TAGS, attributes={"th": {"colspan", "rowspan"},
                        "td": {"colspan", "rowspan"}}, clean_content_tags={"style", "script"})  # fmt: skip
    start, end = cleaned.find("<table"), cleaned.rfind("</table>")
    return str(cleaned[start : end + len("</table>")]) if 0 <= start < end else ""


def image_uri(media: str, data: str) -> str:
    """A data URI for a picture; empty when it is not one. SVG is shown by `<img>`, where it runs nothing."""
    if media == "image/svg+xml":
        import base64

        return f"data:image/svg+xml;base64,{base64.b64encode(data.encode('utf-8', 'replace')).decode()}"
    if media in RASTER and re.fullmatch(r"[A-Za-z0-9+/=\s]+", data):
        return f"data:{media};base64,{''.join(data.split())}"
    return ""
