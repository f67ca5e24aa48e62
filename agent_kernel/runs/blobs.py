"""Large things beside the log, named by what they hold (SHA-256)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path

from agent_kernel.errors import StoreError
from agent_kernel.vault import write_private

_HASH = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """Files in `folder`. Written once, whole or not at all; checked when read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, data: bytes) -> str:
        """Keep `data`; its hash."""
        return await asyncio.to_thread(self._put, data)

    async def get(self, name: str) -> bytes:
        """The data of a hash. Raises StoreError when it is missing or damaged."""
        return await asyncio.to_thread(self._get, name)

    def _path(self, name: str) -> Path:
        return self._folder / checked_name(name)[:2] / name

    def _put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        if path.is_file():
            return name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, data)
        except OSError as error:
            raise StoreError(
                f"A blob cannot be written to {path.parent}: {error.strerror}.", hint="Is the disk full?"
            ) from error
        return name

    def _get(self, name: str) -> bytes:
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"Blob {name} cannot be read: {error.strerror}.") from error
        return checked(name, data, str(path))


def checked_name(name: str) -> str:
    """Names come out of logs and requests: one that is no hash never becomes a path."""
    if not _HASH.fullmatch(name):
        raise StoreError(f"{name!r} is not the name of a blob.")
    return name


def checked(name: str, data: bytes, where: str) -> bytes:
    """`data`, when it is what `name` stands for."""
    if hashlib.sha256(data).hexdigest() != name:
        raise StoreError(f"Blob {name} is damaged.", hint=f"Remove {where}.")
    return data
