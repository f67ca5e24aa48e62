"""A real kernel and what a notebook would show of it, for tests."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from agent_kernel.testing.messages_api import ScriptedMessages

TIMEOUT = 90.0
"""Seconds for whatever a kernel does, on a busy machine."""


def environment(data: Path, api: ScriptedMessages) -> dict[str, str]:
    """For a process whose agents talk to the scripted API and keep their store in `data`."""
    (data / "ipython").mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "ANTHROPIC_BASE_URL": api.url,
        "ANTHROPIC_API_KEY": "key-of-the-test",
        "AGENT_KERNEL_MODEL": "scripted",
        "AGENT_KERNEL_DATA_DIR": str(data),
        "AGENT_KERNEL_VIEW": "auto",
        "IPYTHONDIR": str(data / "ipython"),
    }


@dataclass
class Shown:
    """How a cell ended, and its outputs after all updates."""

    status: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)
    error: list[str] = field(default_factory=list)
    comms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Streams and text/plain of everything shown."""
        return "".join(str(o.get("text/plain", "")) for o in self.outputs)


class Cells:
    """Runs cells as a front end would, and applies what the kernel says to their outputs."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)

    def start(self, code: str, *, cell_id: str | None = None, stdin: bool = False) -> str:
        """Send a cell. With `cell_id` as JupyterLab does, with `stdin` alone as a console does, with
        neither as nbclient does."""
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": stdin or cell_id is not None, "stop_on_error": True,
        }  # fmt: skip
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def run(self, code: str, *, cell_id: str | None = None) -> Shown:
        return self.finish(self.start(code, cell_id=cell_id))

    def finish(self, cell: str, shown: Shown | None = None) -> Shown:
        """Wait until the cell is done and everything about it was said; `shown` is what stands there already."""
        shown = shown or Shown()
        for message in self.messages():
            self.apply(shown, message)
            about = message["parent_header"].get("msg_id") == cell
            if about and message["content"].get("execution_state") == "idle":
                break
        reply = self.reply(cell)
        shown.status = reply["content"]["status"]
        return shown

    def reply(self, cell: str) -> dict[str, Any]:
        while True:
            reply: dict[str, Any] = self.client.get_shell_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") == cell:
                return reply

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the kernel says on iopub, until it is silent for too long."""
        while True:
            try:
                yield self.client.get_iopub_msg(timeout=TIMEOUT)
            except queue.Empty:
                raise AssertionError(f"nothing came for {TIMEOUT} s") from None

    @staticmethod
    def apply(shown: Shown, message: Mapping[str, Any]) -> None:
        content, kind = message["content"], message["header"]["msg_type"]
        if kind == "stream":
            shown.outputs.append({"text/plain": content["text"]})
        elif kind in ("display_data", "execute_result"):
            name = content.get("transient", {}).get("display_id")
            shown.outputs.append({**content["data"], "id": name, "metadata": content["metadata"]})
        elif kind == "update_display_data":
            name = content["transient"]["display_id"]
            for number, output in enumerate(shown.outputs):
                if output.get("id") == name:
                    changed = {**content["data"], "id": name, "metadata": content["metadata"]}
                    shown.outputs[number] = changed
        elif kind == "error":
            shown.error = content["traceback"]
        elif kind.startswith("comm_"):
            shown.comms.append({"type": kind, **content})

    def say(self, comm_id: str, data: Mapping[str, Any]) -> None:
        """What the page of a widget would send, on a subshell as JupyterLab does."""
        content = {"comm_id": comm_id, "data": {"method": "custom", "content": data}}
        message = self.client.session.msg("comm_msg", content)
        message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    @property
    def subshell(self) -> str:
        if not hasattr(self, "_subshell"):
            self.client.control_channel.send(self.client.session.msg("create_subshell_request", {}))
            reply = self.client.get_control_msg(timeout=TIMEOUT)
            self._subshell = str(reply["content"]["subshell_id"])
        return self._subshell


def started(folder: Path, env: Mapping[str, str], name: str) -> Cells:
    """A kernel binds ports that were free a moment ago: where one has been taken since, another kernel is started."""
    for left in (2, 1, 0):
        manager = KernelManager(kernel_name=name)
        manager.start_kernel(cwd=str(folder), env=dict(env))
        try:
            return Cells(manager)
        except BaseException as error:
            manager.shutdown_kernel(now=True)
            if not left or "died" not in str(error):
                raise
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def kernel(folder: Path, env: Mapping[str, str], name: str = "python3") -> Iterator[Cells]:
    """A kernel started in `folder`."""
    cells = started(folder, env, name)
    try:
        yield cells
        cells.client.stop_channels()
    finally:
        cells.manager.shutdown_kernel(now=True)
