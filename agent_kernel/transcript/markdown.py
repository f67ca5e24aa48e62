"""Markdown: what goes into a README or a review. Nothing in it becomes HTML but our own `<details>`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent_kernel.transcript.safe import (
    capped,
    escaped,
    fence,
    image_uri,
    inline_code,
    line,
    markdown_line,
    markdown_text,
    visible,
)
from agent_kernel.transcript.story import Card, Note, Problem, Said, Story, Thinking

MOST_TEXT, MOST_DIFF = 6_000, 12_000
_PLAN = {"completed": "- [x]", "in_progress": "- [ ] …", "pending": "- [ ]"}


def document(stories: Sequence[Story], *, prompts: bool) -> str:
    return "\n\n---\n\n".join(_run(story, prompts) for story in stories) + "\n"


def _run(story: Story, prompts: bool) -> str:
    parts: list[str] = []
    first = True
    for item in story.items:
        if isinstance(item, Said) and item.role == "user" and first:
            first = False
            if prompts:
                parts.append(said(item))
            if story.plan:
                parts.append(plan(story))
            continue
        parts.append(part(item))
    return "\n\n".join([*filter(None, parts), footer(story)])


def plan(story: Story) -> str:
    return "\n".join(f"{_PLAN[item.status]} {markdown_line(item.text)}" for item in story.plan)


def footer(story: Story) -> str:
    """State, time, tokens, cost and files."""
    rows = [f"*{' · '.join(markdown_line(fact) for fact in story.facts)}*"]
    rows += [
        f"- {inline_code(file.path)} {file.action}, +{file.added} −{file.removed}" for file in story.files
    ]
    return "\n".join([rows[0], "", *rows[1:]] if len(rows) > 1 else rows)


def said(item: Said) -> str:
    """A person's words as a quotation, the model's as they are."""
    text = markdown_text(item.text)
    if item.role == "user":
        return "\n".join(f"> {row}" if row else ">" for row in text.splitlines())
    return text + ("\n\n*(stopped here)*" if item.partial else "")


def part(item: object) -> str:
    match item:
        case Said():
            return said(item)
        case Thinking():
            return details(f"Thought: {escaped(line(item.text, 80))}", fence(visible(item.text), "text"))
        case Card():
            return card(item)
        case Problem():
            return f"**{markdown_line(f'{item.message} {item.hint}')}**{' (tried again)' * item.retrying}"
        case Note():
            return f"*{markdown_line(item.text)}*"
        case _:
            return ""


def details(summary: str, body: str) -> str:
    """`summary` is HTML already. The empty lines make the body Markdown again."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def card(item: Card) -> str:
    """A collapsed card; pictures stand below it."""
    body = []
    if item.code:
        body.append(fence(visible(item.code), item.language))
    elif not item.changes:
        body.append(
            fence(capped(visible(json.dumps(item.call.args, ensure_ascii=False, indent=1)), 2_000), "json")
        )
    for piece in item.pieces:
        if piece.picture is None and piece.text.strip():
            body.append(fence(capped(visible(piece.text).rstrip(), MOST_TEXT), "text"))
    body += [diff(change.path, change.diff, change.note) for change in item.changes]
    title = f": <code>{escaped(line(item.title, 90))}</code>" if item.title else ""
    summary = f"{escaped(item.call.tool)}{title} ({item.state})"
    pictures = [f"![chart]({uri})" for p in item.pictures if (uri := image_uri(p.media, p.data))]
    return "\n\n".join([details(summary, "\n\n".join(body) or "(nothing)"), *pictures])


def diff(path: str, text: str, note: str) -> str:
    if not text:
        return f"{inline_code(path)} {markdown_line(note)}"
    return fence(capped(visible(text).rstrip("\n"), MOST_DIFF), "diff")
