"""A person makes a conversation's history shorter for the model: a summary of it, or nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent_kernel import folds
from agent_kernel.compaction import compacted
from agent_kernel.errors import RunBusy, RunError
from agent_kernel.events import FINAL_STATUSES, Compaction, Event, Message
from agent_kernel.runner import has_owner

if TYPE_CHECKING:
    from agent_kernel.app import App
    from agent_kernel.runs.records import Session


async def shortened(app: App, session: Session, *, clear: bool) -> Compaction:
    """The event, appended to the session's newest run: people see everything still, the model what it says.

    Raises RunBusy while a run of the session is at work, RunError where there is nothing to shorten.
    """
    runs = await app.store.list_runs(session_id=session.id, root_only=True, limit=10_000)
    for run in runs:
        if app.works_on(run.id) or (run.status not in FINAL_STATUSES and has_owner(run)):
            raise RunBusy(
                f"Run {run.id} of this conversation is at work.",
                hint="It shortens its own history when it has to; else stop it, or wait for its end.",
            )
    events = await app.store.read_session(session.id)
    since = _since_last(events)
    if not any(isinstance(event, Message) for event in since):
        raise RunError("There is nothing to shorten: nothing was said since the last time.")
    newest = max(runs, key=lambda run: (run.created_ms, run.id))
    last = next(event for event in reversed(events) if event.seq)
    if clear:
        found = Compaction(up_to_run=last.run_id, up_to=last.seq, summary="", turn=last.turn)
    else:
        settings = await app.chosen(app.settings_of(newest), newest.owner)
        model = await app.shared_model(settings)
        context = folds.last_context(events)
        system = (await app.blobs.get(context.system)).decode() if context else ""
        tools = json.loads(await app.blobs.get(context.tools)) if context else []
        found = await compacted(events, model, system, tools, settings.max_tokens)
    (stored,) = await app.log.append(newest.id, found)
    assert isinstance(stored, Compaction)
    return stored


def _since_last(events: list[Event]) -> list[Event]:
    """What the model would see beside the last summary."""
    for place in range(len(events) - 1, -1, -1):
        if isinstance(events[place], Compaction):
            return events[place + 1 :]
    return events
