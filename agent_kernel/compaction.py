"""Keeping a long history within the model's window: everything so far becomes a summary.

The model writes it; where it cannot (the window is full, the endpoint fails), a plain one is made from
the log itself, so that a run never dies of its own length.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel import folds, history
from agent_kernel.errors import ModelError
from agent_kernel.events import LOOP, Compaction, Delta, Event, Json, Message, ToolResult
from agent_kernel.model import Model, ModelRequest

ASK = (
    "The conversation is about to be cut to make room. Write a summary for yourself to go on from: the task "
    "in the user's own words, what was done and found (with exact figures, file names and paths), what is "
    "left to do, and what must not be forgotten. Do not use tools."
)
MOST_SUMMARY_TOKENS = 4_000
MOST_PROMPT = 6_000
MOST_RESULT = 600
RESULTS_KEPT = 8


def needs_compaction(events: Sequence[Event], window: int, share: float) -> bool:
    """True when the last turn filled more than `share` of the window and nothing was summarised since."""
    for event in reversed(events):
        if isinstance(event, Compaction):
            return False
        if event.type == "context_update":
            break
    return folds.context_tokens(events) > share * window


async def compacted(
    events: list[Event], model: Model, system: str, tools: list[Json], max_tokens: int
) -> Compaction:
    """The event that replaces all `events` for the model."""
    last = events[-1]
    try:
        summary = await _written(events, model, system, tools, min(max_tokens, MOST_SUMMARY_TOKENS))
    except ModelError:
        summary = ""
    text = summary or plain_summary(events)
    return Compaction(up_to_run=last.run_id, up_to=last.seq, summary=text, turn=last.turn)


async def _written(events: list[Event], model: Model, system: str, tools: list[Json], max_tokens: int) -> str:
    messages = history.messages([*events, Message(role="user", text=ASK)])
    request = ModelRequest(system=system, tools=tools, messages=messages, max_tokens=max_tokens)
    async for item in model.stream(request, turn=0):
        if not isinstance(item, Delta):
            return "\n".join(b["text"] for b in item.blocks if b["type"] == "text").strip()
    return ""


def plain_summary(events: Sequence[Event]) -> str:
    """What the log itself says: the prompts, the plan, the files, the last words and results."""
    prompts = [e.text for e in events if isinstance(e, Message) and e.role == "user" and e.by != LOOP]
    parts = ["What the user asked:"]
    parts += [
        f"- {_capped(prompt, MOST_PROMPT)}" for prompt in (prompts[:1] + prompts[-3:] if prompts else [])
    ]
    if plan := folds.todo(events):
        parts += ["The plan:", *(f"- [{item.status}] {item.text}" for item in plan)]
    if changed := folds.files(events):
        parts += ["Files changed:", *(f"- {f.path} ({f.action})" for f in changed)]
    if said := [e.text for e in events if isinstance(e, Message) and e.role == "assistant" and e.text][-3:]:
        parts += ["What was said last:", *(f"- {_capped(text, MOST_RESULT * 2)}" for text in said)]
    found = folds.RunState(events).calls
    results = [e for e in events if isinstance(e, ToolResult) and e.id in found][-RESULTS_KEPT:]
    if results:
        parts += ["The last tool results:"]
        parts += [f"- {found[r.id].call.tool}: {_capped(_text(r), MOST_RESULT)}" for r in results]
    return "\n".join(parts)


def _text(result: ToolResult) -> str:
    return "\n".join(str(block.get("text", f"[{block['type']}]")) for block in result.content)


def _capped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} […] {text[-most // 2 :]}"
