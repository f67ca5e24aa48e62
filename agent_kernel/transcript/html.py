"""HTML: a fragment for the cell's output, and a document of its own.

The fragment is read in places that strip what they do not like: style sheets, ids, scripts, CSS variables. So it
uses inline styles only, in colours that read on white and on black, and makes sense without any of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.transcript.safe import capped, escaped, image_uri, line, markdown_html, table_html, visible
from agent_kernel.transcript.story import Card, Note, Piece, Problem, Said, Story, Thinking

MOST_TEXT, MOST_CODE, MOST_DIFF, MOST_TABLE = 4_000, 8_000, 12_000, 60_000
GREEN, RED, AMBER, BLUE = "#1a8f4c", "#d1453b", "#b7791f", "#3b82d6"
COLOURS = {"completed": GREEN, "failed": RED, "cancelled": AMBER, "paused": AMBER, "waiting": AMBER}
SIGNS = {"completed": "✓", "failed": "✗", "cancelled": "■", "paused": "‖", "waiting": "?", "running": "…"}
_FRAME = (
    "border: 1px solid rgba(128,128,128,0.35); border-radius: 8px; padding: 10px 14px; line-height: 1.5; "
    "overflow-wrap: break-word"
)
_CARD = "border: 1px solid rgba(128,128,128,0.25); border-radius: 6px; padding: 4px 10px; margin: 6px 0"
_CODE = (
    "white-space: pre-wrap; word-break: break-word; overflow: auto; max-height: 360px; margin: 6px 0; "
    "padding: 8px 10px; border-radius: 5px; background-color: rgba(128,128,128,0.12); font-size: 12px; "
    "line-height: 1.45"
)
_DIM = "opacity: 0.7; font-size: 12px"
_SUMMARY = "cursor: pointer"

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 860px; margin: 32px auto; padding: 0 20px }
pre, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace }
img { max-width: 100%; background: #fff; border-radius: 4px }
table { border-collapse: collapse; font-size: 13px }
td, th { border: 1px solid rgba(128,128,128,.35); padding: 3px 9px }
a { color: #3b82d6 }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(stories: Sequence[Story]) -> str:
    title = escaped(line(stories[0].prompt, 80)) if stories else "Transcript"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n"
        f"<body>{''.join(_run(story, prompts=True) for story in stories)}</body></html>\n"
    )


def fragment(stories: Sequence[Story]) -> str:
    """The cell's output; the first prompt stands in the cell already."""
    return "".join(_run(story, prompts=False) for story in stories)


def _run(story: Story, *, prompts: bool) -> str:
    parts = [_header(story)]
    if story.plan:
        parts.append(_plan(story))
    first = True
    for item in story.items:
        if isinstance(item, Said) and item.role == "user" and first:
            first = False
            if not prompts:
                continue
        parts.append(_item(item))
    if story.files:
        parts.append(_files(story))
    return f'<div style="{_FRAME}">{"".join(parts)}</div>'


def _header(story: Story) -> str:
    colour, sign = COLOURS.get(story.status, BLUE), SIGNS.get(story.status, "·")
    state, *rest = story.facts
    words = " · ".join(escaped(fact) for fact in rest)
    return (
        f'<div style="margin: 0 0 6px 0"><b style="color: {colour}">{sign} {escaped(state)}</b> '
        f'<span style="{_DIM}">· {words}</span></div>'
    )


def _plan(story: Story) -> str:
    signs = {"completed": "☑", "in_progress": "◐", "pending": "☐"}
    rows = "<br>".join(f"{signs[item.status]} {escaped(item.text)}" for item in story.plan)
    done = sum(item.status == "completed" for item in story.plan)
    return (
        f'<details style="{_CARD}"><summary style="{_SUMMARY}">Plan · {done} of {len(story.plan)} done</summary>'
        f'<div style="margin: 6px 0">{rows}</div></details>'
    )


def _files(story: Story) -> str:
    shown = [
        f"<code>{escaped(file.path)}</code> {file.action}d".replace("editd", "edited")
        + (f' <span style="color: {GREEN}">+{file.added}</span>' if file.added else "")
        + (f' <span style="color: {RED}">−{file.removed}</span>' if file.removed else "")
        for file in story.files
    ]
    return f'<div style="{_DIM}; margin: 8px 0 0 0">Files: {" · ".join(shown)}</div>'


def _item(item: object) -> str:
    match item:
        case Said(role="user"):
            return (
                f'<div style="border-left: 3px solid {BLUE}; padding: 2px 12px; margin: 8px 0; '
                f'white-space: pre-wrap">{escaped(item.text)}</div>'
            )
        case Said():
            cut = f'<div style="{_DIM}">(stopped here)</div>' if item.partial else ""
            return f'<div style="margin: 8px 0">{markdown_html(item.text)}{cut}</div>'
        case Thinking():
            return (
                f'<details style="{_DIM}; margin: 6px 0"><summary style="{_SUMMARY}">✻ {escaped(line(item.text))}'
                f'</summary><div style="white-space: pre-wrap; margin: 4px 0">{escaped(item.text)}</div></details>'
            )
        case Card():
            return _card(item)
        case Problem():
            colour = AMBER if item.retrying else RED
            again = " (tried again)" if item.retrying else ""
            return f'<div style="color: {colour}; margin: 6px 0">{escaped(f"{item.message} {item.hint}")}{again}</div>'
        case Note():
            return f'<div style="{_DIM}; margin: 6px 0">{escaped(capped(item.text, 600))}</div>'
        case _:
            return ""


def _card(card: Card) -> str:
    """One line that opens; what it drew is seen without opening."""
    body = [_input(card), *(_answer(*answer) for answer in card.answers)]
    body += [_piece(piece) for piece in card.pieces if piece.picture is None]
    body += [_diff(change.path, change.diff, change.note) for change in card.changes]
    if card.result is not None and card.result.truncated_bytes:
        body.append(
            f'<div style="{_DIM}">{card.result.truncated_bytes:,} bytes were left out for the model.</div>'
        )
    colour = {"done": GREEN, "failed": RED, "denied": AMBER}.get(card.state, AMBER)
    sign = {"done": "✓", "failed": "✗", "denied": "⊘"}.get(card.state, "…")
    took = (
        f" · {card.result.duration_ms / 1000:.1f} s" if card.result and card.result.duration_ms >= 100 else ""
    )
    title = f"<code>{escaped(line(card.title, 90))}</code> " if card.title else ""
    summary = (
        f'<span style="color: {colour}">{sign}</span> <b>{escaped(card.call.tool)}</b> '
        f'{title}<span style="{_DIM}">{card.state}{took}</span>'
    )
    tables = "".join(_table(piece) for piece in card.pieces)
    pictures = "".join(_picture(piece) for piece in card.pieces)
    return (
        f'<details style="{_CARD}"><summary style="{_SUMMARY}">{summary}</summary>{"".join(body)}{tables}</details>'
        f"{pictures}"
    )


def _input(card: Card) -> str:
    if card.code:
        return _pre(card.code, MOST_CODE)
    import json

    args = {
        name: value for name, value in card.call.args.items() if not (name == "path" and value == card.title)
    }
    return _pre(json.dumps(args, ensure_ascii=False, indent=1), 2_000) if args and not card.changes else ""


def _answer(request: object, answer: object) -> str:
    what, reason = getattr(request, "what", ""), getattr(request, "reason", "")
    decision = getattr(answer, "decision", "not answered")
    said = {"allow": "allowed once", "session": "allowed for the session", "deny": "denied"}.get(
        decision, decision
    )
    return (
        f'<div style="{_DIM}">Asked: {escaped(line(what))} ({escaped(reason)}) → <b>{escaped(said)}</b></div>'
    )


def _piece(piece: Piece) -> str:
    if not piece.text.strip() or (piece.html and table_html(piece.html)):
        return ""
    colour = f"; color: {RED}" if piece.kind in ("error", "stderr") else ""
    return _pre(piece.text, MOST_TEXT, colour)


def _table(piece: Piece) -> str:
    table = table_html(piece.html) if 0 < len(piece.html) <= MOST_TABLE else ""
    return f'<div style="overflow: auto; max-height: 320px; margin: 6px 0">{table}</div>' if table else ""


def _picture(piece: Piece) -> str:
    uri = image_uri(piece.picture.media, piece.picture.data) if piece.picture is not None else ""
    if not uri:
        return ""
    style = "max-width: 100%; background-color: #ffffff; border-radius: 4px; margin: 6px 0"
    return f'<div><img alt="{escaped(line(piece.text) or "A chart the agent drew")}" style="{style}" src="{uri}"></div>'


def _diff(path: str, diff: str, note: str) -> str:
    if not diff:
        return f'<div style="{_DIM}"><code>{escaped(path)}</code> {escaped(note)}</div>'
    rows = []
    for row in visible(capped(diff, MOST_DIFF)).split("\n"):
        tint = ""
        if row.startswith("+") and not row.startswith("+++"):
            tint = "background-color: rgba(26,143,76,0.18)"
        elif row.startswith("-") and not row.startswith("---"):
            tint = "background-color: rgba(209,69,59,0.18)"
        elif row.startswith("@@"):
            tint = "opacity: 0.6"
        rows.append(f'<span style="{tint}">{escaped(row)}</span>' if tint else escaped(row))
    return f'<pre style="{_CODE}">{chr(10).join(rows)}</pre>'


def _pre(text: str, most: int, more: str = "") -> str:
    return f'<pre style="{_CODE}{more}">{escaped(capped(text.rstrip(), most))}</pre>'
