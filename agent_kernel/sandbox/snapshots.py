"""Snapshots of a workspace: a manifest of its files, and their contents by hash. On the host, out of reach of
what runs inside.

A file whose size, times and inode are as before is not read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeAlias

from agent_kernel.errors import SandboxError, SandboxNotFound
from agent_kernel.sandbox import folder as files
from agent_kernel.sandbox import guards
from agent_kernel.sandbox.base import FileChange, Restored
from agent_kernel.sandbox.diffs import file_change
from agent_kernel.vault import write_private

MOST_KEPT = 20 << 20
"""Bytes of a file whose content is kept. Larger ones are compared, but cannot be put back."""
MOST_HELD = 4 << 30
"""Bytes of contents in one store; what comes after that is compared, but not kept."""
MOST_SHOWN = 8 << 20
"""Bytes of all diffs of one answer."""
MOST_FILES = 100_000
MOST_REMEMBERED = 50_000
"""Files of all manifests that are kept in memory together; the last two are, whatever they hold."""
LONGEST_CHAIN = 32
"""Manifests one after the other that are stored as what differs from the one before; the next is stored whole."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a symlink. `content` is a hash of what is kept, or a mark that differs when the file does."""

    content: str
    mode: int
    size: int
    kept: bool
    link: bool = False


Manifest: TypeAlias = dict[str, Entry]
Stamp: TypeAlias = tuple[int, int, int, int, int]


class Snapshots:
    """Snapshots of `workspace`, kept in `folder`. Methods block; they may be called from any thread."""

    def __init__(self, workspace: Path, folder: Path, *, most_held: int = MOST_HELD) -> None:
        self._workspace = workspace
        self._folder = folder
        self._most_held = most_held
        self._held: int | None = None
        self._seen: dict[str, tuple[Stamp, Entry, str]] = {}
        """Of each file what the last look found, and its path once more: all manifests share that string."""
        self._looked: Manifest | None = None
        self._manifests: dict[str, Manifest] = {}
        self._last: tuple[str, Manifest] | None = None
        self._lock = threading.Lock()

    def take(self, *, as_looked: bool = False) -> str:
        """Remember the files as they are. The same files give the same id.

        `as_looked`: as they were at the last `manifest`, with what `entry` and `gone` were told of since.
        """
        with self._lock:
            looked, self._looked = self._looked, None
            manifest = looked if as_looked and looked is not None else self._scan()
            if self._last is not None and self._last[1] == manifest and self._file(self._last[0]).exists():
                return self._last[0]
            whole = _json({path: manifest[path] for path in sorted(manifest)})
            name = hashlib.blake2b(whole, digest_size=16).hexdigest()
            self._store(name, manifest, whole)
            self._remember(name, manifest)
            self._last = (name, manifest)
            return name

    def manifest(self) -> Manifest:
        """The files as they are now."""
        with self._lock:
            self._looked = self._scan()
            return dict(self._looked)

    def gone(self, path: str) -> None:
        """A file was removed since the last look."""
        with self._lock:
            if self._looked is not None:
                self._looked.pop(path, None)

    def entry(self, path: str) -> Entry | None:
        """One file as it is now; None when it is not there."""
        with self._lock:
            found = self._look(path)
            if self._looked is not None and found is not None:
                self._looked[path] = found
            return found

    def differs(self, path: str) -> bool:
        """Whether a file is another than at the last look, or is there and was not."""
        seen = self._seen.get(path)
        try:
            with files.parent(self._workspace, path) as (directory, name):
                return _stamp(os.stat(name, dir_fd=directory, follow_symlinks=False)) != (seen and seen[0])
        except OSError:
            return False

    def text(self, entry: Entry) -> str:
        """A kept file's content, undecodable bytes replaced; empty where it is not kept."""
        return (self._text(entry) or b"").decode("utf-8", "replace")

    def diff(
        self, before: str, after: str | None = None, only: Sequence[str] | None = None
    ) -> list[FileChange]:
        """What changed from one snapshot to another, or to now; of the files `only` names, if it names some."""
        if before == after:
            return []
        with self._lock:
            old = self._manifest(before)
            new = self._manifest(after) if after is not None else self._scan()
            wanted = old.keys() | new.keys() if only is None else set(only)
            paths = sorted(path for path in wanted if old.get(path) != new.get(path))
            changes, shown = [], 0
            for path in paths:
                change = self._change(path, old.get(path), new.get(path))
                shown += len(change.diff)
                if shown > MOST_SHOWN:
                    change = replace(change, diff="", note="too many changes at once to show them all")
                changes.append(change)
            return changes

    def restore(
        self, snapshot: str, paths: Sequence[str] | None = None, unless_changed_since: str | None = None
    ) -> Restored:
        """Put files back to `snapshot`; see `Sandbox.restore`."""
        with self._lock:
            target = self._manifest(snapshot)
            since = self._manifest(unless_changed_since) if unless_changed_since is not None else None
            wanted = [files.clean(path) for path in paths or ()]
            if wanted and all(path in target or path in (since or ()) for path in wanted):
                now = {path: found for path in wanted if (found := self._look(path))}
            else:
                now = self._scan()
            if paths is None:
                wanted = sorted(target.keys() | now.keys())
            restored, skipped = [], []
            for path in wanted:
                if target.get(path) == now.get(path):
                    continue
                changed = since is not None and since.get(path) != now.get(path)
                entry = target.get(path)
                if changed or (entry is not None and not entry.kept):
                    skipped.append(path)
                    continue
                self._seen.pop(path, None)
                try:
                    self._put_back(path, entry)
                except OSError:  # a folder or a link is where its folder was, or the disk is full
                    skipped.append(path)
                else:
                    restored.append(path)
            self._last = None
            return Restored(tuple(restored), tuple(skipped))

    # -- looking ---------------------------------------------------------------------------------------

    def _scan(self) -> Manifest:
        found: Manifest = {}
        hidden = {os.fspath(p.relative_to(self._workspace)) for p in self._hidden()}
        for path, directory, name, info in files.walk(self._workspace, hidden):
            if len(found) >= MOST_FILES:
                raise SandboxError(
                    f"The workspace has more than {MOST_FILES:,} files; changes are not tracked.",
                    hint="Work in a smaller folder.",
                )
            stamp = _stamp(info)
            seen = self._seen.get(path)
            if seen is not None and seen[0] == stamp:
                found[seen[2]] = seen[1]
                continue
            found[path] = self._entry(directory, name, info)
            self._seen[path] = (stamp, found[path], path)
        for path in self._seen.keys() - found.keys():
            del self._seen[path]
        return found

    def _look(self, path: str) -> Entry | None:
        try:
            with files.parent(self._workspace, path) as (directory, name):
                info = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if not (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)):
                    return None
                found = self._entry(directory, name, info)
        except OSError:
            return None
        self._seen[path] = (_stamp(info), found, path)
        return found

    def _entry(self, directory: int, name: str, info: os.stat_result) -> Entry:
        mode = stat.S_IMODE(info.st_mode)
        try:
            if stat.S_ISLNK(info.st_mode):
                target = os.readlink(name, dir_fd=directory)
                return Entry(f"→{target}", 0, 0, kept=True, link=True)
            if info.st_size > MOST_KEPT:
                return Entry(f"{info.st_mtime_ns}.{info.st_size}", mode, info.st_size, kept=False)
            descriptor = os.open(name, files.OPEN, dir_fd=directory)
            with open(descriptor, "rb") as file:
                data = files.read_most(file, MOST_KEPT + 1)
        except OSError:
            return Entry(f"unreadable.{info.st_mtime_ns}.{info.st_size}", mode, info.st_size, kept=False)
        content = hashlib.blake2b(data, digest_size=20).hexdigest()
        kept = len(data) <= MOST_KEPT and self._keep(self._content(content), data)  # it may have grown since
        return Entry(content, mode, len(data), kept=kept)

    def _hidden(self) -> list[Path]:
        return guards.hidden(self._workspace, self._folder.parent)

    def _change(self, path: str, old: Entry | None, new: Entry | None) -> FileChange:
        return file_change(
            path, self._text(old), self._text(new), existed=old is not None, exists=new is not None
        )

    def _text(self, entry: Entry | None) -> bytes | None:
        """What a file held; None where that is not kept."""
        if entry is None:
            return b""
        if entry.link:
            return os.fsencode(f"link to {entry.content[1:]}\n")
        if not entry.kept:
            return None
        try:
            return self._content(entry.content).read_bytes()
        except OSError:
            return None

    # -- keeping ---------------------------------------------------------------------------------------

    def _keep(self, path: Path, data: bytes) -> bool:
        """Whether the content is in the store (now)."""
        if self._held is None:
            self._held = sum(file.stat().st_size for file in self._folder.glob("files/*/*"))
        if path.exists():
            return True
        if self._held + len(data) > self._most_held:
            return False
        self._write(path, data)
        self._held += len(data)
        return True

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _content(self, name: str) -> Path:
        return self._folder / "files" / name[:2] / name

    def _store(self, name: str, manifest: Manifest, whole: bytes) -> None:
        """As what differs from the last one, with its name; a call changes few files of many."""
        before, old = self._last or ("", {})
        if before and self._links(name) is not None:
            return
        links = self._links(before) if before else None
        if links is None or links >= LONGEST_CHAIN:
            self._write(self._file(name), whole)
        else:
            changed = {
                path: manifest.get(path)
                for path in old.keys() | manifest.keys()
                if old.get(path) is not manifest.get(path)
            }
            self._write(self._file(name), _json([before, links + 1, changed]))

    def _links(self, name: str) -> int | None:
        """How many come before the manifest that are stored without all files; None where it is not (wholly) there."""
        try:
            with self._file(name).open("rb") as file:
                return 0 if file.peek(1)[:1] == b"{" else int(json.loads(file.read())[1])
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def _remember(self, name: str, manifest: Manifest) -> None:
        self._manifests.pop(name, None)
        self._manifests[name] = manifest
        held = sum(map(len, self._manifests.values()))
        while held > MOST_REMEMBERED and len(self._manifests) > 2:
            held -= len(self._manifests.pop(next(iter(self._manifests))))

    def _manifest(self, name: str) -> Manifest:
        found = self._manifests.get(name)
        if found is None:
            try:
                found = self._read(name)
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise SandboxNotFound(f"Snapshot {name} is not there: {error}.") from None
        self._remember(name, found)
        return found

    def _read(self, name: str) -> Manifest:
        found: Manifest = {}
        changes: list[dict[str, Any]] = []
        while name not in self._manifests:
            if not name.isalnum():
                raise SandboxNotFound(f"{name!r} is not a snapshot.")
            if len(changes) > LONGEST_CHAIN:
                raise ValueError("it goes back without end")
            raw = self._file(name).read_bytes()
            stored = json.loads(raw.decode("utf-8", "surrogateescape"))
            if not isinstance(stored, list):
                changes.append(stored)
                break
            name, _, changed = stored
            changes.append(changed)
        else:
            found.update(self._manifests[name])
        for changed in reversed(changes):
            for path, fields in changed.items():
                if fields is None:
                    del found[path]
                else:
                    found[files.clean(path)] = Entry(*fields)
        return found

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, data)
        except OSError as error:
            raise SandboxError(
                f"A snapshot cannot be written to {path.parent}: {error.strerror}.", hint="Is the disk full?"
            ) from error

    def _put_back(self, path: str, entry: Entry | None) -> None:
        if entry is None:
            files.remove(self._workspace, path)
        elif entry.link:
            files.put_link(self._workspace, path, entry.content[1:])
        else:
            with self._content(entry.content).open("rb") as source:
                files.put_file(self._workspace, path, source, entry.mode)


def _json(value: object) -> bytes:
    return os.fsencode(json.dumps(value, default=attrgetter("content", "mode", "size", "kept", "link")))


def _stamp(info: os.stat_result) -> Stamp:
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino, info.st_mode
