"""Plain text: for terminals, and for whoever shows nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.transcript.safe import capped, line, visible
from agent_kernel.transcript.story import Card, Note, Problem, Said, Story, Thinking

MOST_RESULT = 1_500
_PLAN = {"completed": "[x]", "in_progress": "[~]", "pending": "[ ]"}


def document(stories: Sequence[Story]) -> str:
    return "\n\n".join(_run(story) for story in stories)


def _run(story: Story) -> str:
    parts = [" · ".join(visible(fact) for fact in story.facts)]
    if story.plan:
        parts.append("\n".join(f"{_PLAN[item.status]} {line(item.text)}" for item in story.plan))
    parts += [shown for item in story.items if (shown := _item(item))]
    if story.files:
        parts.append(
            "Files: " + ", ".join(f"{visible(f.path)} (+{f.added} −{f.removed})" for f in story.files)
        )
    return "\n\n".join(parts)


def _item(item: object) -> str:
    match item:
        case Said(role="user"):
            return "\n".join(f"> {row}" for row in visible(item.text).splitlines())
        case Said():
            return visible(item.text).strip()
        case Thinking():
            return f"({line(item.text, 200)})"
        case Card():
            return _card(item)
        case Problem():
            return f"! {visible(f'{item.message} {item.hint}').strip()}{' (tried again)' if item.retrying else ''}"
        case Note():
            return f"- {line(item.text, 300)}"
        case _:
            return ""


def _card(card: Card) -> str:
    title = f": {line(card.title, 100)}" if card.title else ""
    rows = [f"* {line(card.call.tool, 40)}{title} [{card.state}]"]
    for piece in card.pieces:
        text = (
            "[a picture]" if piece.picture is not None else capped(visible(piece.text).rstrip(), MOST_RESULT)
        )
        rows += [f"    {row}" for row in text.splitlines()]
    return "\n".join(rows)
