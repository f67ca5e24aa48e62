"""Taking back what runs did to files: in the workspace, and in notebooks that a page has open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import ToolError
from agent_kernel.events import Event, FileChange, Json, Undo
from agent_kernel.runs.records import RunRow
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.tools.notebook.pages import OpenNotebooks

if TYPE_CHECKING:
    from agent_kernel.app import App


def file_changes(events: Iterable[Event]) -> list[FileChange]:
    """The changes of files that can be taken back."""
    return [event for event in events if isinstance(event, FileChange) and event.before]


async def undone(
    app: App, run: RunRow, changes: Sequence[FileChange], *, by: str, call_id: str | None = None
) -> Undo:
    """Take `changes` (one at least) back, and say so in the run's log."""
    session = await app.store.get_session(run.session_id)
    notebooks = app.notebooks(session)
    async with app.places.borrow(session, app.settings_of(run)) as sandbox:
        opened = await _undone_in_pages(notebooks, sandbox, changes)
        restored, skipped = await _restored(
            sandbox, [change for change in changes if change.path not in opened]
        )
        for path in restored:
            await _told(notebooks, sandbox, path, "reload")
    undo = Undo(
        snapshot=changes[0].before or "",
        paths=sorted([*restored, *(path for path, done in opened.items() if done)]),
        skipped=sorted([*skipped, *(path for path, done in opened.items() if not done)]),
        call_id=call_id,
        by=by,
    )
    await app.log.append(run.id, undo)
    return undo


async def whole_changes(app: App, run: RunRow) -> list[FileChange]:
    """What the run did to each file as one change: from before its first step to after its last."""
    changes = file_changes(await app.log.read(run.id))
    first = _first(changes)
    last = {change.path: change for change in changes}
    session = await app.store.get_session(run.session_id)
    found: list[FileChange] = []
    async with app.places.borrow(session, app.settings_of(run)) as sandbox:
        for path, change in first.items():
            before, after = change.before or "", last[path].after
            for merged in await sandbox.diff(before, after, [path]):
                where = {"run_id": run.id, "seq": change.seq, "before": before, "after": after}
                found.append(FileChange(**where, **asdict(merged)))  # type: ignore[arg-type]
    return sorted(found, key=lambda change: change.path)


def _first(changes: Iterable[FileChange]) -> dict[str, FileChange]:
    """Of each file, in the order they came: one snapshot after the other is found faster than here and there."""
    first: dict[str, FileChange] = {}
    for change in changes:
        first.setdefault(change.path, change)
    return first


async def _restored(sandbox: Sandbox, changes: Sequence[FileChange]) -> tuple[list[str], list[str]]:
    """Each file goes back to before its first change, unless it differs from after its last one: those that did, and
    those that were left alone."""
    last = {change.path: change.after for change in changes}
    alike: dict[tuple[str, str | None], list[str]] = {}
    for path, change in _first(changes).items():
        alike.setdefault((change.before or "", last[path]), []).append(path)
    restored: list[str] = []
    skipped: list[str] = []
    for (before, after), paths in alike.items():
        done = await sandbox.restore(before, paths, unless_changed_since=after)
        restored += done.paths
        skipped += done.skipped
    return restored, skipped


async def _undone_in_pages(
    notebooks: OpenNotebooks | None, sandbox: Sandbox, changes: Sequence[FileChange]
) -> dict[str, bool]:
    """Notebooks that a page has open are put back there, cell by cell, so that what the person did to other cells
    stays. Whether each could be, wholly; a page that does not know the changes leaves the notebook out."""
    found: dict[str, bool] = {}
    for path in dict.fromkeys(change.path for change in changes if change.path.endswith(".ipynb")):
        calls = list(dict.fromkeys(change.call_id for change in changes if change.path == path))
        answer = await _told(notebooks, sandbox, path, "undo", calls=calls)
        if answer is not None and answer.get("known"):
            found[path] = not answer.get("skipped")
    return found


async def _told(
    notebooks: OpenNotebooks | None, sandbox: Sandbox, path: str, action: str, **said: Any
) -> Json | None:
    """What the page with the notebook says to it, if there is one that answers."""
    if notebooks is None:
        return None
    with suppress(ToolError):
        return await notebooks.ask(path, sandbox.workdir, action, **said)
    return None
