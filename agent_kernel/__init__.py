"""agent-kernel: agents that do real work inside Jupyter.

`%load_ext agent_kernel` in a notebook, or `from agent_kernel import Agent` in a program. Names are
imported when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent_kernel._version import __version__

if TYPE_CHECKING:
    from agent_kernel.client import Agent, Run
    from agent_kernel.sandbox import open_sandbox

__all__ = [
    "Agent",
    "Run",
    "__version__",
    "load_ipython_extension",
    "open_sandbox",
    "unload_ipython_extension",
]

_HOMES = {
    "Agent": "agent_kernel.client",
    "Run": "agent_kernel.client",
    "open_sandbox": "agent_kernel.sandbox",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(ip: Any) -> None:
    """`%load_ext agent_kernel`: register `%agent`, `%%agent` and their completions."""
    from agent_kernel.shell.magic import load

    load(ip)


def unload_ipython_extension(ip: Any) -> None:
    """`%unload_ext agent_kernel`: take them away again; runs that are going on go on."""
    from agent_kernel.shell.magic import unload

    unload(ip)
