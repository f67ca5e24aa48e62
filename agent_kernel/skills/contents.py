"""The files of a skill: which they are, their bytes, and one hash of all. Nothing outside its folder is one."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent_kernel.errors import SkillError
from agent_kernel.skills.problem import Problem, warning

MOST_FILES = 2_000
MOST_BYTES = 64 << 20
MOST_ENTRIES = 20_000
PASSED_OVER = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", ".DS_Store"})


@dataclass(frozen=True, slots=True)
class SkillFile:
    """`path` is relative to the skill's folder, with `/`; `place` is where its bytes are."""

    path: str
    place: Path
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Contents:
    files: tuple[SkillFile, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """A skill's bytes as they were at one moment, and their hash."""

    files: tuple[tuple[SkillFile, bytes], ...]
    digest: str

    def tar(self) -> bytes:
        """An archive of regular files, owned by nobody in particular."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for file, data in self.files:
                entry = tarfile.TarInfo(file.path)
                entry.size, entry.mode = len(data), 0o755 if file.executable else 0o644
                archive.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()


def contents(folder: Path) -> Contents:
    """The files of the skill in `folder`, by path. Links that lead out, and what is no file, are left out."""
    root = folder.resolve()
    files: list[SkillFile] = []
    found: list[Problem] = []
    size = 0
    for path, entry in _entries(root, found):
        file = _file(root, path, entry, found)
        if file is None:
            continue
        size += file.size
        if len(files) == MOST_FILES or size > MOST_BYTES:
            found.append(
                warning(
                    f"it has more than {MOST_FILES:,} files or {MOST_BYTES >> 20} MiB; the rest is left out"
                )
            )
            break
        files.append(file)
    return Contents(tuple(sorted(files, key=lambda file: file.path)), tuple(found))


def pack(folder: Path) -> Packed:
    """The skill's bytes. Raises SkillError when a file cannot be read."""
    files, total = [], hashlib.sha256()
    for file in contents(folder).files:
        data = read_regular(file.place, MOST_BYTES)
        files.append((file, data))
        mode = "x" if file.executable else "-"
        total.update(f"{len(file.path.encode())}:{file.path}:{mode}:{len(data)}:".encode())
        total.update(data)
    return Packed(tuple(files), total.hexdigest())


def read_regular(path: Path, most: int) -> bytes:
    """At most `most` bytes of a regular file; never waits for a pipe or a device. Raises SkillError."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
        with open(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise SkillError(f"{path} is not a file.")
            return file.read(most)
    except OSError as error:
        raise SkillError(f"{path} cannot be read: {error.strerror or error}.") from None


def _entries(root: Path, found: list[Problem]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `root` that is no folder, without following links; nearest first, by name."""
    waiting, seen = [(root, "")], 0
    while waiting and seen < MOST_ENTRIES:
        folder, prefix = waiting.pop(0)
        try:
            with os.scandir(folder) as listing:
                entries = sorted(islice(listing, MOST_ENTRIES), key=lambda entry: entry.name)
        except OSError as error:
            found.append(warning(f"{prefix or 'its folder'} cannot be listed: {error.strerror}"))
            continue
        seen += len(entries)
        for entry in entries:
            if entry.name in PASSED_OVER or entry.name.endswith(".pyc"):
                continue
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), f"{path}/"))
            else:
                yield path, entry


def _file(root: Path, path: str, entry: os.DirEntry[str], found: list[Problem]) -> SkillFile | None:
    if not path.isprintable():
        found.append(warning(f"the file name {path[:80]!r} cannot be shown; left out"))
        return None
    place = Path(entry.path)
    try:
        if entry.is_symlink():
            place = place.resolve(strict=True)
            if not place.is_relative_to(root):
                found.append(warning(f"{path} is a link that leads out of the skill; left out"))
                return None
        info = place.lstat()
    except (OSError, RuntimeError):
        found.append(warning(f"{path} is a link that leads nowhere; left out"))
        return None
    if not stat.S_ISREG(info.st_mode):
        what = "a link to a folder" if stat.S_ISDIR(info.st_mode) else "neither a file nor a folder"
        found.append(warning(f"{path} is {what}; left out"))
        return None
    return SkillFile(path, place, info.st_size, bool(info.st_mode & 0o111))
