"""Where a cell is shown, and which notebook it belongs to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal, TypeAlias

from agent_kernel.errors import SettingsError

ViewKind: TypeAlias = Literal["widget", "document", "lines", "terminal"]
"""`widget` is live; `document` an output that is rewritten in place and read later (nbconvert,
papermill); `lines` a console on a kernel; `terminal` plain IPython, where a person can be asked."""

VIEW_VARIABLE = "AGENT_KERNEL_VIEW"


def view_kind(ip: Any) -> ViewKind:
    """How to show a run to whoever sent the cell that runs now. Raises SettingsError."""
    wanted = os.environ.get(VIEW_VARIABLE, "auto")
    if wanted not in ("auto", "widget", "text"):
        raise SettingsError(f"{VIEW_VARIABLE} = {wanted!r} is not one of auto, widget, text.")
    kernel = getattr(ip, "kernel", None)
    if kernel is None:
        return "terminal"
    request = parent_request(kernel)
    if wanted == "widget" or (wanted == "auto" and has_live_widgets(request)):
        return "widget"
    # nbclient takes no questions and keeps what is updated; consoles do the opposite.
    return "lines" if request.get("content", {}).get("allow_stdin") else "document"


def parent_request(kernel: Any) -> dict[str, Any]:
    """The execute_request being worked on, or an empty dict."""
    get_parent = getattr(kernel, "get_parent", None)
    request = get_parent("shell") if get_parent is not None else None
    return request if isinstance(request, dict) else {}


def cell_id(ip: Any) -> str:
    """Which of the notebook's cells runs now; empty where nobody says."""
    kernel = getattr(ip, "kernel", None)
    metadata = parent_request(kernel).get("metadata") if kernel is not None else None
    return str(metadata.get("cellId") or "")[:200] if isinstance(metadata, dict) else ""


def has_live_widgets(request: dict[str, Any]) -> bool:
    """JupyterLab, Notebook 7 and VS Code name the cell in their requests; programs do not."""
    metadata = request.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("cellId"))


def can_answer(kind: ViewKind) -> bool:
    """Whether somebody there can answer an approval."""
    if kind == "terminal":
        return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    return kind == "widget"


def notebook_name(user_ns: dict[str, Any]) -> str | None:
    """The notebook's path as its server or editor tells it, else None."""
    for name in (os.environ.get("JPY_SESSION_NAME"), user_ns.get("__vsc_ipynb_file__")):
        if isinstance(name, str) and name:
            return name
    return None


def workspace(ip: Any) -> Path:
    """The notebook's folder: kernels are started there. In a terminal, wherever the person is."""
    started = getattr(ip, "starting_dir", None) if getattr(ip, "kernel", None) is not None else None
    return Path(started or Path.cwd())


def idle_door(ip: Any) -> Any:
    """For `Bridge.wake`: how to have something called in a kernel's main thread when it is idle."""
    io_loop = getattr(getattr(ip, "kernel", None), "io_loop", None)
    return getattr(io_loop, "add_callback", None)
