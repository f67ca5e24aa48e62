"""A run's log up to some event, continued as a run of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agent_kernel.errors import RunError
from agent_kernel.events import FINAL_STATUSES, Compaction, Event, Message, Status

if TYPE_CHECKING:
    from agent_kernel.app import App
    from agent_kernel.runs.records import RunRow, Session


async def forked(app: App, run: RunRow, seq: int, prompt: str, by: str) -> RunRow:
    """The copy, in a session of its own. It is nobody's to work on until it is said to be `hosted`, or is
    started. See `Account.fork`. Raises RunError."""
    events = await app.log.read(run.id)
    if not 1 <= seq <= len(events):
        raise RunError(f"Run {run.id} has no event {seq}; it has {len(events)}.")
    kept = _open_again(events[:seq])
    if not prompt.strip() and len(kept) == len(_open_again(events)):
        raise RunError(f"Run {run.id} has nothing after event {seq} to do again.", hint="Say what to do now.")
    session = await _session(app, await app.store.get_session(run.session_id))
    names = await _copy_earlier(app, run, session)
    copy = await app.store.create_run(
        session_id=session.id,
        prompt=run.prompt,
        model=run.model,
        options={**_elsewhere(run), "forked_from": f"{run.id}:{seq}"},
        owner=run.owner,
        agent=run.agent,
        agent_version=run.agent_version,
    )
    names[run.id] = copy.id
    await _append(app, copy.id, kept, names)
    if prompt.strip():
        await app.log.append(copy.id, Message(role="user", text=prompt, by=by))
    await app.log.append(copy.id, Status(status="queued", reason="forked"))
    return copy


def _open_again(events: list[Event]) -> list[Event]:
    """Without the end, if that is among them: the copy has not ended."""
    while events and isinstance(events[-1], Status) and events[-1].status in FINAL_STATUSES:
        events = events[:-1]
    return events


async def _session(app: App, old: Session) -> Session:
    return await app.store.create_session(
        owner=old.owner,
        name=f"{old.name}-fork-{uuid4().hex[:6]}",
        workspace=old.workspace,
        notebook=old.notebook,
        host=old.host,
        meta=dict(old.meta),
    )


async def _copy_earlier(app: App, run: RunRow, session: Session) -> dict[str, str]:
    """Copy the runs before `run`; new ids by old ones."""
    rows = await app.store.list_runs(session_id=run.session_id, root_only=True, limit=10_000)
    names: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.created_ms, row.id)):
        if (row.created_ms, row.id) >= (run.created_ms, run.id):
            break
        copy = await app.store.create_run(
            session_id=session.id,
            prompt=row.prompt,
            model=row.model,
            options={**_elsewhere(row), "forked_from": row.id},
            owner=run.owner,
            agent=row.agent,
            agent_version=row.agent_version,
        )
        names[row.id] = copy.id
        await _append(app, copy.id, await app.log.read(row.id), names)
    return names


def _elsewhere(run: RunRow) -> dict[str, Any]:
    """The options of a run whose copy no cell shows, and nobody works on yet."""
    return {**{name: value for name, value in run.options.items() if name != "cell"}, "hosted": False}


async def _append(app: App, run_id: str, events: list[Event], names: dict[str, str]) -> None:
    copies = []
    for event in events:
        if isinstance(event, Compaction):
            event = event.model_copy(update={"up_to_run": names.get(event.up_to_run, event.up_to_run)})
        copies.append(event.numbered("", 0))
    await app.log.append(run_id, *copies)
