"""Many MCP servers as one process: `thirty.py COUNT PORT` serves COUNT of thirty tools each, at /s00/mcp, /s01/mcp …"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable

import uvicorn
from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.routing import Mount


def widget(number: int) -> Callable[[int], str]:
    def make(size: int) -> str:
        return f"made {number} of {size}"

    make.__doc__ = f"Make widget number {number} of the given size. " + "It is a fine widget. " * 12
    return make


def main(count: int, port: int) -> None:
    servers = [MCPServer(f"s{number:02}") for number in range(count)]
    for server in servers:
        for number in range(30):
            server.add_tool(widget(number), name=f"make_widget_{number}")
    routes = [
        Mount(f"/s{number:02}", app=server.streamable_http_app()) for number, server in enumerate(servers)
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server.session_manager.run())
            yield

    app = Starlette(routes=routes, lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
