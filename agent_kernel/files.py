"""A person's way to the files of a workspace: through its sandbox, below the workspace, along no link that leaves it.

Uploads are kept beside the sandbox until all of them is there, so that what was interrupted goes on where it was,
and nothing half arrived lies in the workspace.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.errors import SandboxDenied, SandboxError, SandboxLimit, SandboxNotFound
from agent_kernel.sandbox.base import FileInfo, Sandbox

PIECE = 4 << 20
MOST_NAME, MOST_PATH = 255, 4096
MOST_LISTED = 5_000
KEPT = 24 * 3600
"""Seconds after which an upload that nobody goes on with is forgotten."""


def checked(path: str, *, new: bool = False) -> str:
    """A path below the workspace; '' is the workspace. Raises SandboxDenied.

    A `new` name must also be one that can be typed and shown.
    """
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise SandboxDenied(f"{path[:200]!r} is not a path below the workspace.")
    if len(path.encode("utf-8", "replace")) > MOST_PATH:
        raise SandboxDenied(f"The path has more than {MOST_PATH} bytes.", hint="Use shorter names.")
    for part in parts if new else ():
        if len(part.encode("utf-8", "replace")) > MOST_NAME:
            raise SandboxDenied(
                f"The name {part[:40]!r}… has more than {MOST_NAME} bytes.", hint="Use a shorter one."
            )
        if not part.isprintable():
            raise SandboxDenied(
                f"The name {part[:80]!r} holds characters that cannot be shown.",
                hint="Rename the file first.",
            )
    return path


@dataclass(frozen=True, slots=True)
class Listing:
    entries: list[FileInfo]
    more: int
    """How many are not listed."""


class Files:
    """The files of one workspace. Paths are below it. Raises SandboxError."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def _at(self, path: str) -> str:
        return f"{self._sandbox.workdir}/{path}" if path else self._sandbox.workdir

    async def stat(self, path: str) -> FileInfo:
        """A link counts as what it leads to, as far as that is in the workspace; of a linked file only pieces tell
        the size (-1)."""
        if not checked(path):
            return FileInfo("", "dir", 0, 0)
        found = await self._sandbox.stat(self._at(path), inside=True)
        if found.kind != "symlink":
            return found
        try:
            await self._sandbox.list_dir(self._at(path), inside=True)
            return FileInfo(found.name, "dir", 0, found.modified_ms)
        except SandboxDenied:
            raise
        except SandboxError:
            await self._sandbox.read(self._at(path), limit=1, inside=True)
            return FileInfo(found.name, "file", -1, found.modified_ms)

    async def list(self, path: str) -> Listing:
        """Folders first, then by name."""
        found = await self._sandbox.list_dir(self._at(checked(path)), inside=True)
        found.sort(key=lambda entry: (entry.kind != "dir", entry.name.lower(), entry.name))
        return Listing(found[:MOST_LISTED], max(0, len(found) - MOST_LISTED))

    async def read(self, path: str, offset: int = 0, size: int = -1) -> AsyncIterator[bytes]:
        """The content in pieces, never held as a whole; `size` -1: to its end."""
        left = size
        while left:
            limit = PIECE if left < 0 else min(PIECE, left)
            piece = await self._sandbox.read(self._at(checked(path)), offset, limit, inside=True)
            if piece:
                yield piece
            offset += len(piece)
            left -= len(piece) if left > 0 else 0
            if len(piece) < limit:
                return

    async def put(self, path: str, upload: Upload) -> FileInfo:
        """Write what was uploaded, at once; a remote workspace's file is brought home as well."""
        await self._writable(path)
        with upload.place.open("rb") as source:
            await self._sandbox.put(self._at(path), source)
        if self._sandbox.tier == "daytona":
            await self._sandbox.snapshot()
        return await self._sandbox.stat(self._at(path), inside=True)

    async def remove(self, path: str) -> None:
        """A file, or a folder with all that is in it."""
        await self._writable(path)
        await self._sandbox.stat(self._at(path), inside=True)
        await self._sandbox.remove(self._at(path))
        if self._sandbox.tier == "daytona":
            await self._sandbox.snapshot()

    async def _writable(self, path: str) -> None:
        """No folder above it is a link out of the workspace."""
        if not checked(path, new=True):
            raise SandboxDenied("The workspace itself is no file.", hint="Name a file in it.")
        above = path.rpartition("/")[0]
        while above:
            try:
                await self._sandbox.list_dir(self._at(above), inside=True)
                return
            except SandboxNotFound:
                above = above.rpartition("/")[0]


class Upload:
    """A file on its way in: `total` bytes for `path`, known by the `token` of whoever sends it."""

    def __init__(self, folder: Path, path: str, total: int, token: str, *, most: int) -> None:
        checked(path, new=True)
        if total > most:
            raise SandboxLimit(
                f"{path} has {total:,} bytes; {most:,} is the most that may be uploaded.",
                hint="Set most_upload_bytes, or bring it there another way.",
            )
        self.total, self._most = total, most
        name = hashlib.sha256(json.dumps([path, total, token]).encode()).hexdigest()[:32]
        self.place = folder / "uploads" / name

    @property
    def received(self) -> int:
        """Bytes that are here already."""
        try:
            return self.place.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def whole(self) -> bool:
        return self.received == self.total

    def begin(self, offset: int) -> None:
        """Raises SandboxDenied when the next piece does not begin where the last one ended."""
        if offset != self.received:
            raise SandboxDenied(
                f"The next piece begins at byte {self.received}, not {offset}.",
                hint="Ask with Content-Range: bytes */TOTAL where to go on.",
            )
        self.place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget_old(self.place.parent)
        self.place.touch(mode=0o600)

    def write(self, data: bytes) -> None:
        """Raises SandboxLimit when more comes than was announced."""
        if self.received + len(data) > (self.total if self.total >= 0 else self._most):
            raise SandboxLimit("More bytes came than were announced.", hint="Begin the upload anew.")
        try:
            with self.place.open("ab") as file:
                file.write(data)
        except OSError as error:
            raise SandboxLimit(
                f"The upload cannot be kept: {error.strerror}.", hint="Is the disk full?"
            ) from error

    def discard(self) -> None:
        self.place.unlink(missing_ok=True)


def _forget_old(folder: Path) -> None:
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > KEPT:
            file.unlink(missing_ok=True)


async def bytes_below(folder: Path) -> int:
    """What the files below take, no link followed."""

    def count() -> int:
        total = 0
        for _, _, names, directory in os.fwalk(folder, follow_symlinks=False) if folder.is_dir() else ():
            for name in names:
                with suppress(OSError):
                    total += os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
        return total

    return await asyncio.to_thread(count)
