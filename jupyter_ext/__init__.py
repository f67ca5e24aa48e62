"""The Jupyter server extension: it hosts the runs, and is the door to them."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from jupyter_ext.extension import AgentKernelExtension

    return [{"module": "jupyter_ext", "app": AgentKernelExtension}]
