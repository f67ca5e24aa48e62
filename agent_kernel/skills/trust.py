"""Which skills of workspaces a person has said yes to: by the hash of all their bytes, not by their place.

A changed file makes another hash, so whoever writes into the folder (the agent, a `git pull`) has to be
looked at again. One small file a hash: two programs may say yes at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from agent_kernel.errors import SkillError


@dataclass(frozen=True, slots=True)
class Trust:
    """What `owner` trusts; kept in `folder` (the data folder's)."""

    folder: Path
    owner: str

    def __contains__(self, digest: str) -> bool:
        return self._place(digest).is_file()

    @property
    def empty(self) -> bool:
        """True when there is no need to hash anything."""
        try:
            with os.scandir(self._folder) as entries:
                return next(entries, None) is None
        except OSError:
            return True

    def within(self, workspace: Path | None) -> bool:
        """True where the agent could write its own trust: nothing kept there is believed."""
        return workspace is not None and self.folder.resolve().is_relative_to(workspace.resolve())

    def add(self, digest: str, name: str, place: Path) -> None:
        """Raises SkillError when it cannot be kept."""
        said = json.dumps({"owner": self.owner, "skill": name, "folder": str(place)})
        path = self._place(digest)
        part = path.with_name(f"{path.name}.{uuid4().hex[:8]}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_text(said, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise SkillError(f"{path.parent} cannot be written: {error.strerror}.") from None

    def remove(self, digest: str) -> None:
        """No more trust; nothing happens when there was none."""
        with suppress(FileNotFoundError):
            self._place(digest).unlink()

    @property
    def _folder(self) -> Path:
        return self.folder / "trusted-skills"

    def _place(self, digest: str) -> Path:
        return self._folder / hashlib.sha256(f"{self.owner}\0{digest}".encode()).hexdigest()
