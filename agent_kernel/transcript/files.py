"""Saving a transcript: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agent_kernel.errors import AgentKernelError
from agent_kernel.events import Event

ENDINGS = (".ipynb", ".html", ".md")
FOLDER = "agent-transcripts"
"""In the workspace, for transcripts of runs that nobody watched."""


def save(events: Sequence[Event], path: Path) -> Path:
    """Write the transcript to `path`, whose ending says the format. Raises AgentKernelError."""
    if path.suffix not in ENDINGS:
        raise AgentKernelError(
            f"{path.name!r} has no ending a transcript can be saved as.", hint=f"Use {', '.join(ENDINGS)}."
        )
    if not events:
        raise AgentKernelError("The run has no events yet; there is nothing to save.")
    return write(path, _content(events, path.suffix))


def save_notebook(path: Path, text: str) -> Path:
    """Write a notebook's JSON. Raises AgentKernelError."""
    if path.suffix != ".ipynb":
        raise AgentKernelError(f"{path.name!r} is no notebook's name.", hint="Let it end in .ipynb.")
    return write(path, text)


def write(path: Path, text: str) -> Path:
    """Whole or not at all. Raises AgentKernelError."""
    data = text.encode("utf-8", "replace")
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
            f"{path} cannot be written: {error.strerror}.",
            hint="Check the folder, its permissions and the free space.",
        ) from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
    return path


def leave(events: Sequence[Event], workspace: Path, name: str) -> Path:
    """Put the transcript into the workspace's `agent-transcripts/`; `name` is the file's, with `.ipynb`.

    The folder is the agent's to fill: a link it put there is not followed, and a file there is not replaced.
    Raises AgentKernelError.
    """
    data = _content(events, ".ipynb").encode("utf-8", "replace")
    path = workspace / FOLDER / name
    try:
        with suppress(FileExistsError):
            os.mkdir(path.parent)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=folder)
            with os.fdopen(file, "wb") as opened:
                opened.write(data)
        finally:
            os.close(folder)
    except OSError as error:
        raise AgentKernelError(f"The transcript cannot be left in {path}: {error.strerror}.") from error
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
