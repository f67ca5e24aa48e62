"""What remains of a run: static text that needs no kernel, no server and no extension to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_kernel.events import Event

__all__ = ["bundle", "metadata", "save", "to_clean_notebook", "to_html", "to_markdown", "to_notebook"]


def bundle(events: Sequence[Event]) -> dict[str, str]:
    """The cell's final output as mime types: HTML, Markdown and plain text, and no widget."""
    from agent_kernel.transcript import html, markdown, plain
    from agent_kernel.transcript.story import tell

    stories = tell(events)
    return {
        "text/html": html.fragment(stories),
        "text/markdown": markdown.document(stories, prompts=False),
        "text/plain": plain.document(stories),
    }


def metadata(events: Sequence[Event]) -> dict[str, Any]:
    """What the output's metadata says of the run: which it is, and how it stood when this was written."""
    from agent_kernel.folds import last_status

    run_id = events[-1].run_id if events else ""
    return {"agent_kernel": {"run_id": run_id, "status": last_status(events).status if events else ""}}


def to_html(events: Sequence[Event]) -> str:
    """A document of its own. It runs no script and loads nothing."""
    from agent_kernel.transcript import html
    from agent_kernel.transcript.story import tell

    return html.document(tell(events))


def to_markdown(events: Sequence[Event]) -> str:
    from agent_kernel.transcript import markdown
    from agent_kernel.transcript.story import tell

    return markdown.document(tell(events), prompts=True)


def to_notebook(events: Sequence[Event]) -> Any:
    """A notebook (nbformat 4.5) whose code cells can be run again from the top."""
    from agent_kernel.transcript import notebook
    from agent_kernel.transcript.story import tell

    return notebook.build(tell(events))


def to_clean_notebook(events: Sequence[Event]) -> Any:
    """A notebook of the Python that led to the last run's result; see `clean`. `events` are the session's up to it:
    its Python may build on what earlier runs left."""
    from agent_kernel.transcript import clean
    from agent_kernel.transcript.story import tell

    return clean.build(tell(events))


def leave(events: Sequence[Event], workspace: Path, name: str) -> Path:
    """Put the transcript into a folder of the workspace; see `files.leave`."""
    from agent_kernel.transcript.files import leave as write

    return write(events, workspace, name)


def save(events: Sequence[Event], path: str | Path) -> Path:
    """Write the transcript as the path's ending says; see `files.save`."""
    from agent_kernel.transcript.files import save as write

    return write(events, Path(path))
