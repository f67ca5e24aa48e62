"""Where logins at servers are kept: encrypted, for one person.

The key lies in the system's keyring where there is one, else in a file that only the person can read: then the
encryption keeps the tokens out of backups and searches of the data folder's other files, not out of their hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from agent_kernel.errors import SettingsError
from agent_kernel.mcp.config import write_private

SERVICE = "agent-kernel-mcp"


class Vault:
    """Secrets by name, each in a file of `folder`. What cannot be decrypted is as if it were not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "logins"
        self._name = hashlib.sha256(str(self._folder).encode()).hexdigest()[:16]

    async def get(self, name: str) -> Any:
        return await asyncio.to_thread(self._get, name)

    async def put(self, name: str, value: Any) -> None:
        """Raises SettingsError when it cannot be kept."""
        await asyncio.to_thread(self._put, name, value)

    async def forget(self, name: str) -> None:
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.token"

    def _get(self, name: str) -> Any:
        from cryptography.fernet import Fernet, InvalidToken

        with contextlib.suppress(OSError, InvalidToken, ValueError):
            return json.loads(Fernet(self._key()).decrypt(self._path(name).read_bytes()))
        return None

    def _put(self, name: str, value: Any) -> None:
        from cryptography.fernet import Fernet

        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path(name), Fernet(self._key()).encrypt(json.dumps(value).encode()))
        except OSError as error:
            raise SettingsError(
                f"The login cannot be kept in {self._folder}: {error.strerror}.", hint="Is the disk full?"
            ) from error

    def _key(self) -> bytes:
        """Made when it is first needed."""
        path = self._folder / "key"
        if path.is_file():
            return path.read_bytes()
        return self._from_keyring() or self._new_file(path)

    def _from_keyring(self) -> bytes:
        """Empty where there is no keyring that works without asking."""
        from cryptography.fernet import Fernet

        try:
            import keyring

            if keyring.get_keyring().priority < 1:
                return b""
            found = keyring.get_password(SERVICE, self._name)
            if found is None:
                found = Fernet.generate_key().decode()
                keyring.set_password(SERVICE, self._name, found)
            return found.encode()
        except Exception:  # each system's keyring fails in its own way
            return b""

    @staticmethod
    def _new_file(path: Path) -> bytes:
        from cryptography.fernet import Fernet

        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key())
        return path.read_bytes()
