"""A login from the command line: the person's browser comes back to a port of this machine."""

from __future__ import annotations

import asyncio
import webbrowser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import click

from agent_kernel.cli.base import line

if TYPE_CHECKING:
    from agent_kernel.mcp.login import Login
    from agent_kernel.mcp.servers import McpServers

MOST_HEAD = 16 << 10


async def browser_login(servers: McpServers, name: str) -> None:
    """Until the tokens are kept. Raises SettingsError with the reason."""
    waiting: asyncio.Future[Login] = asyncio.get_running_loop().create_future()

    async def came_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a browser; only the one with the login's own state is taken."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode("latin-1")
            query = dict(parse_qsl(urlsplit(target).query))
            login = await waiting
            ours = urlsplit(target).path == "/callback" and query.get("state") == await login.state()
            if ours:
                login.give(query)
            said = "Go back to the terminal; this tab can be closed." if ours else "Nobody waits for this."
            status = "200 OK" if ours else "404 Not Found"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(said)}\r\n"
                f"Connection: close\r\n\r\n{said}".encode()
            )
            await writer.drain()
        except (ValueError, IndexError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # not a browser
        finally:
            writer.close()

    server = await asyncio.start_server(came_back, "127.0.0.1", 0, limit=MOST_HEAD)
    async with server:
        port = server.sockets[0].getsockname()[1]
        login = await servers.login(name, f"http://127.0.0.1:{port}/callback")
        waiting.set_result(login)
        try:
            if address := await login.address():
                click.echo(f"Log in here: {line(address, 4_000)}", err=True)
                await asyncio.to_thread(webbrowser.open, address)
                await login.done()
            click.echo(f"Logged in at {name}.")
        finally:
            await login.close()
