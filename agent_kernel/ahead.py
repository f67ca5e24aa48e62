"""What stands before a run's own words in the model's window, in characters: only the server knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_kernel import folds, history
from agent_kernel.runner import session_events
from agent_kernel.skills.catalogue import length_in

if TYPE_CHECKING:
    from agent_kernel.app import App
    from agent_kernel.runs.records import RunRow

PICTURE = 5_400
"""What a picture takes, in characters of text."""


async def ahead(app: App, run: RunRow) -> dict[str, int]:
    """`system` prompt, descriptions of `tools`, names of `skills`, and `earlier` runs of the conversation."""
    earlier, events = await session_events(app.log, run)
    context = folds.last_context(events)
    if context is None:
        return {"system": 0, "tools": 0, "skills": 0, "earlier": 0}
    system = (await app.blobs.get(context.system)).decode()
    skills = length_in(system)
    return {
        "system": len(system) - skills,
        "tools": len(await app.blobs.get(context.tools)),
        "skills": skills,
        "earlier": _length(history.messages(earlier)),
    }


def _length(value: Any) -> int:
    if isinstance(value, dict):
        return PICTURE if value.get("type") == "image" else sum(map(_length, value.values()))
    if isinstance(value, list):
        return sum(map(_length, value))
    return len(value) if isinstance(value, str) else 0
