"""The Jupyter server extension: the server's door to agent-kernel."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "jupyter_ext"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Add the routes; nothing heavy is imported before somebody asks for it."""
    from jupyter_ext.routes import routes

    server.web_app.add_handlers(".*$", routes(server.web_app.settings["base_url"]))
