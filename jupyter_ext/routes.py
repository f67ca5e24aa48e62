"""REST routes under `{base_url}api/agent/`."""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import authenticated

from agent_kernel._version import __version__
from agent_kernel.events import SCHEMA_VERSION


class HealthHandler(APIHandler):  # type: ignore[misc]
    """`GET health`: the versions a kernel in another environment compares itself with."""

    @authenticated  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        self.finish(json.dumps({"version": __version__, "schema": SCHEMA_VERSION}))


def routes(base_url: str) -> list[tuple[str, Any]]:
    return [(url_path_join(base_url, "api/agent/health"), HealthHandler)]
