"""Secrets a person entrusts to us: encrypted on disk, the key in the system's keyring where there is one.

Without a keyring the key lies in a file that only the person can read. The encryption then keeps the secrets out
of backups and searches of the other files, not out of the person's own hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from agent_kernel.errors import SettingsError

SERVICE = "agent-kernel"


class Vault:
    """Values by name, each in a file of `folder`. What cannot be decrypted is as if it were not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]

    async def get(self, name: str) -> Any:
        """The value, or None."""
        return await asyncio.to_thread(self._get, name)

    async def put(self, name: str, value: Any) -> None:
        """Keep what JSON can hold. Raises SettingsError when it cannot be kept."""
        await asyncio.to_thread(self._put, name, value)

    async def has(self, name: str) -> bool:
        """Whether something is kept, without decrypting it."""
        return await asyncio.to_thread(self._path(name).is_file)

    async def forget(self, name: str) -> None:
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.secret"

    def _get(self, name: str) -> Any:
        path = self._path(name)
        if not path.is_file():
            return None
        from cryptography.fernet import Fernet, InvalidToken

        with contextlib.suppress(OSError, InvalidToken, ValueError):
            return json.loads(Fernet(self._key()).decrypt(path.read_bytes()))
        return None

    def _put(self, name: str, value: Any) -> None:
        from cryptography.fernet import Fernet

        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path(name), Fernet(self._key()).encrypt(json.dumps(value).encode()))
        except OSError as error:
            raise SettingsError(
                f"It cannot be kept in {self._folder}: {error.strerror}.",
                hint="Is the disk full, or the folder not yours?",
            ) from error

    def _key(self) -> bytes:
        """Made when it is first needed."""
        path = self._folder / "key"
        if path.is_file():
            return path.read_bytes()
        return self._from_keyring() or _new_key(path)

    def _from_keyring(self) -> bytes:
        """Empty where there is no keyring that can be used."""
        from cryptography.fernet import Fernet

        try:
            import keyring

            if keyring.get_keyring().priority < 1:
                return b""
            found = keyring.get_password(SERVICE, self._user)
            if found is None:
                found = Fernet.generate_key().decode()
                keyring.set_password(SERVICE, self._user, found)
            return found.encode()
        except Exception:  # each system's keyring fails in its own way
            return b""


def write_private(path: Path, data: bytes) -> None:
    """The whole file or nothing, for its owner's eyes only. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _new_key(path: Path) -> bytes:
    from cryptography.fernet import Fernet

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # another process made it at the same moment
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
    return path.read_bytes()
