"""Notebooks of the workspace, read and written through the sandbox."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from agent_kernel.errors import AgentKernelError, ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import ToolContext
from agent_kernel.tools.notebook.document import Document, parse
from agent_kernel.tools.notebook.pages import ANSWER
from agent_kernel.tools.reading import existing

MOST_BYTES = 64 << 20
SEEN = "notebook.seen"
MOST_SEEN, MOST_SOURCE = 2_000, 100_000


async def load(path: str, context: ToolContext) -> tuple[Document, bytes]:
    """The notebook at `path`, and the bytes it was read from. Raises ToolError."""
    await _there(path, context)
    data = await context.sandbox.read(path, limit=MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ToolError(f"{path} has more than {MOST_BYTES >> 20} MB.", hint="Look into it with python.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ToolError(f"{path} is not a notebook: it is not UTF-8 (byte {error.start:,}).") from None
    if not text.strip():
        raise ToolError(f"{path} is empty.", hint="Jupyter makes it a notebook when it is opened there.")
    return await asyncio.to_thread(parse, text, path), data


async def _there(path: str, context: ToolContext) -> None:
    if not path.endswith(".ipynb"):
        raise ToolError(f"{path} is not a notebook: its name does not end in .ipynb.", hint="Use read_file.")
    info = await existing(context.sandbox, path)
    if info.kind == "dir":
        raise ToolError(f"{path} is a folder.")


async def ask_page(
    path: str, context: ToolContext, action: str, within: float = ANSWER, **said: object
) -> Json | None:
    """What the page answers in which the person has the notebook open; None when it is closed. Raises ToolError."""
    await _there(path, context)
    if context.notebooks is None:
        return None
    workdir, run, call = context.sandbox.workdir, context.run_id, context.call_id
    return await context.notebooks.ask(path, workdir, action, within, run=run, call=call, **said)


async def settle(args: Json, context: ToolContext) -> None:
    """Have what the person has not saved yet saved, so that it does not count as the agent's change."""
    with suppress(AgentKernelError):
        await ask_page(str(args.get("path")), context, "save")


async def save(path: str, text: str, earlier: bytes, context: ToolContext) -> None:
    """Write what was made from `earlier`. Raises ToolError when somebody has saved the file in the meantime."""
    if await context.sandbox.read(path, limit=MOST_BYTES + 1) != earlier:
        raise ToolError(
            f"{path} was saved by somebody else just now; nothing was changed.", hint="Try again."
        )
    await context.sandbox.write(path, text.encode("utf-8", "replace"))


def problem(notebook: Json) -> str:
    """Why nbformat would not take the notebook; empty when it would."""
    from nbformat.validator import iter_validate

    fault = next(iter_validate(notebook), None)
    return "" if fault is None else str(fault).partition("\n")[0]


def remember(source: str, digest: str, context: ToolContext) -> None:
    """Keep what the model was shown, so that it can be told later what has changed."""
    seen: dict[str, str] = context.state.setdefault(SEEN, {})
    if len(source) <= MOST_SOURCE:
        seen.pop(digest, None)
        seen[digest] = source
    while len(seen) > MOST_SEEN:
        del seen[next(iter(seen))]


def shown(digest: str, context: ToolContext) -> str | None:
    """The source of this digest, when it was shown to the model."""
    found: dict[str, str] = context.state.get(SEEN, {})
    return found.get(digest)
