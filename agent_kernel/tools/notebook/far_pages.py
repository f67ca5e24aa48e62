"""Pages that another process of this machine serves: a worker, or the command line, asks the Jupyter servers.

A session's folder is worked in on its own host only, so whoever can have one of its notebooks open is a server here.
Each server leaves its address and a secret in the data folder, where only this person can read them.
"""

from __future__ import annotations

import asyncio
import fcntl
import hmac
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_kernel.errors import ToolError
from agent_kernel.events import Json
from agent_kernel.tools.notebook.pages import ANSWER, PageGone, Pages

FOLDER = "pages"
"""In the data folder: a file for each server, which holds a lock on it as long as it lives."""
LONGEST = 64 << 20
HELLO = b"agent-kernel pages\n"
"""What a server says first: on the port of one that was killed, somebody else may listen by now."""
CONNECT = 10.0


@asynccontextmanager
async def reachable(pages: Pages, data: Path) -> AsyncIterator[None]:
    """While it is open, other processes that share the data folder reach `pages`."""
    secret = secrets.token_urlsafe(32)

    async def heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError, KeyError, TypeError):
            writer.write(HELLO)
            asked = json.loads(await reader.readline())
            if hmac.compare_digest(str(asked["secret"]).encode(), secret.encode()):
                await _answer(pages, asked, reader, writer)
        writer.close()

    server = await asyncio.start_server(heard, "127.0.0.1", 0, limit=LONGEST)
    address = {"port": server.sockets[0].getsockname()[1], "secret": secret}
    record = data / FOLDER / f"{os.getpid()}-{secrets.token_hex(4)}.json"
    await asyncio.to_thread(_sweep, record.parent)
    held = await asyncio.to_thread(_write, record, json.dumps(address))
    try:
        yield
    finally:
        await asyncio.to_thread(record.unlink, missing_ok=True)
        os.close(held)
        server.close()


def _write(record: Path, text: str) -> int:
    """The descriptor that holds its lock."""
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = record.with_suffix(".part")
    held = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.write(held, text.encode())
    partial.rename(record)
    return held


def _sweep(folder: Path) -> None:
    """Remove what servers left that were killed."""
    for record in folder.glob("*.json"):
        with suppress(OSError), record.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            record.unlink()


async def _answer(
    pages: Pages, asked: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Ask the pages, for as long as whoever asks stays."""
    asking = asyncio.create_task(
        pages.ask(asked["owner"], Path(asked["notebook"]), asked["action"], asked["within"], **asked["said"])
    )
    left = asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({asking, left}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            try:
                told: Json = {"answer": asking.result()}
            except ToolError as error:
                told = {"gone": error.message, "hint": error.hint}
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
    finally:
        for task in (asking, left):
            task.cancel()
        await asyncio.gather(asking, left, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class FarPages:
    """Asks all of this machine's servers that share the data folder."""

    data: Path

    async def ask(
        self, owner: str, notebook: Path, action: str, within: float = ANSWER, **said: Any
    ) -> Json | None:
        """What a page answers; None when none has the notebook open. Raises PageGone."""
        asked = {"owner": owner, "notebook": str(notebook), "action": action, "within": within, "said": said}
        for record in await asyncio.to_thread(self._records):
            if (answer := await self._ask(record, asked)) is not None:
                return answer
        return None

    def _records(self) -> list[Path]:
        return sorted((self.data / FOLDER).glob("*.json"))

    async def _ask(self, record: Path, asked: Json) -> Json | None:
        """Raises PageGone where it is not known whether the server's pages have it."""
        try:
            address = json.loads(await asyncio.to_thread(record.read_text))
            async with asyncio.timeout(CONNECT):
                reader, writer = await asyncio.open_connection("127.0.0.1", address["port"], limit=LONGEST)
                is_ours = await reader.readline() == HELLO
        except FileNotFoundError:
            return None
        except ConnectionRefusedError:
            is_ours = False
        except (OSError, ValueError, KeyError, TimeoutError) as error:
            raise _lost(asked) from error
        if not is_ours:  # it was killed, and left this behind
            await asyncio.to_thread(record.unlink, missing_ok=True)
            return None
        try:
            writer.write(json.dumps({**asked, "secret": address["secret"]}).encode() + b"\n")
            told = json.loads(await reader.readline())
        except (OSError, ValueError) as error:
            raise _lost(asked) from error
        finally:
            writer.close()
        if "gone" in told:
            raise PageGone(told["gone"], hint=told["hint"])
        answer: Json | None = told["answer"]
        return answer


def _lost(asked: Json) -> PageGone:
    name = Path(asked["notebook"]).name
    return PageGone(
        f"{name} may be open in JupyterLab, whose server did not answer; what was done is not known.",
        hint="Read the notebook again.",
    )
