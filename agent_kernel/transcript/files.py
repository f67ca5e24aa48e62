"""Saving a transcript: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agent_kernel.errors import AgentKernelError
from agent_kernel.events import Event

ENDINGS = (".ipynb", ".html", ".md")


def save(events: Sequence[Event], path: Path) -> Path:
    """Write the transcript to `path`, whose ending says the format. Raises AgentKernelError."""
    if path.suffix not in ENDINGS:
        raise AgentKernelError(
            f"{path.name!r} has no ending a transcript can be saved as.", hint=f"Use {', '.join(ENDINGS)}."
        )
    if not events:
        raise AgentKernelError("The run has no events yet; there is nothing to save.")
    data = _content(events, path.suffix).encode("utf-8", "replace")
    if path.is_dir():
        raise AgentKernelError(f"{path} is a folder.", hint="Name a file in it.")
    partial: str | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".transcript-", delete=False) as file:
            partial = file.name
            file.write(data)
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
        partial = None
    except OSError as error:
        raise AgentKernelError(
            f"The transcript cannot be written to {path}: {error.strerror}.",
            hint="Check the folder, its permissions and the free space.",
        ) from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
    return path


def _content(events: Sequence[Event], ending: str) -> str:
    from agent_kernel import transcript

    if ending == ".html":
        return transcript.to_html(events)
    if ending == ".md":
        return transcript.to_markdown(events)
    import nbformat

    return str(nbformat.writes(transcript.to_notebook(events))) + "\n"


def _umask() -> int:
    """What new files usually get; the call can only ask by setting."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
