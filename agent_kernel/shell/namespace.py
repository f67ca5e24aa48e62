"""`notebook_python`: the agent's code in the user's own namespace, run by the user's kernel; and a look at it.

The person's history, `_` and `Out` stay as they are; what the code prints, displays, draws and raises
becomes the tool's result.
"""

from __future__ import annotations

import ast
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.shell import frames
from agent_kernel.shell.bridge import Bridge, Interrupted, NoMainThread
from agent_kernel.shell.capture import Capture, plain
from agent_kernel.shell.variables import listing
from agent_kernel.tools.base import ToolOutput

NO_AWAIT = "Top-level `await` does not work here: the kernel's event loop is busy with the cell that waits."
INTERRUPTED = "KeyboardInterrupt: the person interrupted this code."


class UserNamespace:
    """The `KernelBridge` of an IPython shell, on whichever kernel or terminal it runs."""

    def __init__(self, ip: Any, bridge: Bridge, workspace: Path) -> None:
        self.ip = ip
        self.bridge = bridge
        self.workspace = workspace

    async def run(self, code: str, emit: Callable[[str], None]) -> ToolOutput:
        """Run `code` in the main thread. Errors in it are results with `is_error`, never exceptions."""
        try:
            return await self.bridge.in_main(
                lambda: run_code(self.ip, code, lambda text: self.bridge.later(emit, text))
            )
        except NoMainThread as error:
            return ToolOutput.text(str(error), is_error=True)

    async def variables(self, names: Sequence[str]) -> ToolOutput:
        """What the variables are, looked at between two steps of the person's own code."""
        return await self._in_main(lambda: listing(self.ip.user_ns, self.ip.user_ns_hidden, names))

    async def export(self, name: str, stem: str) -> ToolOutput:
        """The DataFrame `name` as a file of the workspace."""
        return await self._in_main(lambda: frames.export(self.ip.user_ns, name, stem, self.workspace))

    async def import_table(self, path: str, name: str, *, replace: bool = False) -> ToolOutput:
        """A file of the workspace as the variable `name`."""
        return await self._in_main(
            lambda: frames.import_table(
                self.ip.user_ns, path, name, self.workspace, replace=replace, hidden=self.ip.user_ns_hidden
            )
        )

    async def _in_main(self, work: Callable[[], ToolOutput]) -> ToolOutput:
        """Its errors are results for the model."""
        try:
            return await self.bridge.in_main(work)
        except (NoMainThread, AgentKernelError) as error:
            return ToolOutput.text(str(error), is_error=True)


def run_code(ip: Any, code: str, emit: Callable[[str], None]) -> ToolOutput:
    """Run `code` as a cell of `ip` that leaves no trace in its history. Main thread only.

    Raises Interrupted, with what there is so far, when a person interrupts.
    """
    with Capture(ip, emit) as capture:
        try:
            _execute(ip, code, capture)
            return capture.output()
        except KeyboardInterrupt:
            capture.error(INTERRUPTED)
            raise Interrupted(capture.output(is_error=True)) from None
        except SystemExit as error:
            capture.error(f"SystemExit: {error.code}. The kernel goes on.")
        except BaseException as error:
            capture.error(_told(ip, error))
        return capture.output(is_error=True)


def _execute(ip: Any, code: str, capture: Capture) -> None:
    source = ip.transform_cell(code)
    name = ip.compile.cache(source, 0, raw_code=code)
    tree = ip.transform_ast(ast.parse(source, name))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), ip.user_global_ns, ip.user_ns)  # noqa: S102 - the tool's purpose
    if last is not None:
        value = eval(compile(ast.Expression(last.value), name, "eval"), ip.user_global_ns, ip.user_ns)  # noqa: S307
        if value is not None and not source.rstrip().endswith(";"):
            data, _ = ip.display_formatter.format(value)
            if data:  # empty when the value displayed itself
                capture.result(data)
    _flush_figures()


def _flush_figures() -> None:
    """Figures that were drawn and not shown, as the inline backend does after each cell."""
    backend = sys.modules.get("matplotlib_inline.backend_inline")
    if backend is not None:
        backend.flush_figures()


def _told(ip: Any, error: BaseException) -> str:
    """The traceback as the person would see it, without our own frames."""
    if isinstance(error, SyntaxError):
        text = "".join(traceback.format_exception_only(error))
        return f"{text}{NO_AWAIT}" if "await" in str(error) else text
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") == __name__:
        frames = frames.tb_next
    try:
        lines = ip.InteractiveTB.structured_traceback(type(error), error, frames)
        return plain(ip.InteractiveTB.stb2text(lines))
    except Exception:  # a traceback that cannot be formatted must not hide the error itself
        return "".join(traceback.format_exception_only(error))
