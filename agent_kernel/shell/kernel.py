"""The kernel `agent`: IPython's own, in which a plain cell is a prompt.

Only what a person runs as a cell is looked at; code that front ends send silently stays Python. What is said
to Python (`%%python`, `%%py`) and to IPython (`%magic`, `!shell`, `name?`) shares one namespace.
"""

from __future__ import annotations

import builtins
import inspect
import re
from contextvars import ContextVar
from typing import Any

from ipykernel.ipkernel import IPythonKernel

from agent_kernel._version import __version__
from agent_kernel.shell.celltext import CellText, read, rewritten
from agent_kernel.shell.complete import in_prompt, variables_of

TYPES = "_jupyter_types_experimental"
"""Where IPython keeps the kinds of its completions, and their places in the cell."""
_CELL: ContextVar[str | None] = ContextVar("cell", default=None)
"""The person's cell until it begins to run; each subshell has its own."""
_OPEN_BRACE = re.compile(r"\{([^{}\n]*)$")
_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)


class AgentKernel(IPythonKernel):  # type: ignore[misc]
    """An IPython kernel with `%agent` loaded. Its history holds each cell as it was typed."""

    implementation = "agent-kernel"
    implementation_version = __version__
    language_info = {  # noqa: RUF012 - a plain attribute, as in every kernel
        "name": "markdown",
        "mimetype": "text/x-ipythongfm",
        "file_extension": ".md",
        "codemirror_mode": "markdown",
        "pygments_lexer": "markdown",
        "nbconvert_exporter": "markdown",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        from agent_kernel.shell.magic import load

        load(self.shell)
        self.shell.events.register("pre_execute", lambda: _CELL.set(None))
        self.shell.input_transformers_cleanup.insert(0, self._transform)

    @property
    def banner(self) -> str:
        return f"agent-kernel {__version__}: type a prompt, /help for commands, %%python for Python."

    # -- running -----------------------------------------------------------------------------------------

    async def do_execute(
        self, code: str, silent: bool, store_history: bool = True, *args: Any, **options: Any
    ) -> Any:
        token = _CELL.set(code if store_history and not silent else None)
        try:
            return await super().do_execute(code, silent, store_history, *args, **options)
        finally:
            _CELL.reset(token)

    def _transform(self, lines: list[str]) -> list[str]:
        """The cell itself, put to IPython; whatever else is transformed stays as it is."""
        cell = _CELL.get()
        if cell is None or "".join(lines) not in (cell, f"{cell}\n"):
            return lines
        return rewritten(lines, self._knows)

    def _knows(self, name: str) -> bool:
        return name in self.shell.user_ns or hasattr(builtins, name)

    def _read(self, code: str) -> CellText:
        return read(code, self._knows)

    async def interrupt_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """As IPython does; and an idle event loop is woken, for only then it hears of the signal."""
        await super().interrupt_request(stream, ident, parent)
        self.io_loop.add_callback(lambda: None)

    # -- while typing ------------------------------------------------------------------------------------

    async def do_complete(self, code: str, cursor_pos: int | None) -> Any:
        cursor = len(code) if cursor_pos is None else cursor_pos
        cell = self._read(code)
        if cell.kind != "prompt":
            return await self._complete_python(cell.body, cursor, cell.offset)
        if match := _OPEN_BRACE.search(code[:cursor]):
            return await self._complete_python(match[1], cursor, match.start(1))
        fragment, words, kind = in_prompt(code[:cursor], variables=variables_of(self.shell.user_ns))
        start = cursor - len(fragment)
        types = [{"start": start, "end": cursor, "text": word, "type": kind} for word in words]
        return _completed(words, start, cursor, types)

    async def _complete_python(self, body: str, cursor: int, offset: int) -> Any:
        """What IPython offers for `body`, which begins at `offset`, in places of the whole cell."""
        if cursor < offset:
            return _completed([], cursor, cursor, [])
        found = super().do_complete(body, cursor - offset)
        found = await found if inspect.isawaitable(found) else found
        types = [
            {**word, "start": word["start"] + offset, "end": word["end"] + offset}
            for word in found["metadata"].get(TYPES, [])
        ]
        return _completed(
            found["matches"], found["cursor_start"] + offset, found["cursor_end"] + offset, types
        )

    async def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()
    ) -> Any:
        cell = self._read(code)
        body, offset = cell.body, cell.offset
        if cell.kind == "prompt":
            brace = _OPEN_BRACE.search(code[:cursor_pos])
            if brace is None:
                return _command_help(code, cursor_pos)
            body, offset = code[brace.start(1) :].partition("}")[0], brace.start(1)
        found = super().do_inspect(body, max(0, cursor_pos - offset), detail_level, omit_sections)
        return await found if inspect.isawaitable(found) else found

    async def do_is_complete(self, code: str) -> Any:
        """For consoles: a prompt is complete, unless a block of code in it is still open."""
        cell = self._read(code)
        if cell.kind == "prompt":
            is_open = len(_FENCE.findall(code)) % 2 == 1 or code.endswith("\\")
            return {"status": "incomplete", "indent": ""} if is_open else {"status": "complete"}
        if cell.kind == "python" and not cell.body.strip():
            return {"status": "incomplete", "indent": ""}
        found = super().do_is_complete(cell.body)
        return await found if inspect.isawaitable(found) else found


def _completed(matches: list[str], start: int, end: int, types: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "status": "ok",
        "matches": matches,
        "cursor_start": start,
        "cursor_end": end,
        "metadata": {TYPES: types},
    }


def _command_help(code: str, cursor: int) -> dict[str, Any]:
    """What the slash command under the cursor does."""
    data = {}
    match = re.match(r"\s*/([a-z]+)", code)
    if match is not None and match.start() <= cursor <= match.end():
        from agent_kernel.shell.slash import COMMANDS

        if match[1] in COMMANDS:
            data = {"text/plain": f"/{match[1]}: {COMMANDS[match[1]][0]}"}
    return {"status": "ok", "found": bool(data), "data": data, "metadata": {}}
