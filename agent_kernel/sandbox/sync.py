"""One workspace in two places: the person's folder here, `/workspace` in a remote sandbox.

Three ways: what both sides last agreed on is kept, so that a file that differs has changed here, there, or on both
sides. On both sides is a conflict: the person's file stays, the other one comes beside it. What is there is text
and bytes of strangers: its paths are checked, and its contents travel in an archive without names.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import secrets
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeAlias

from agent_kernel.errors import SandboxError, SandboxLimit
from agent_kernel.sandbox import folder, guards
from agent_kernel.sandbox.ignore import NAMES, Ignored
from agent_kernel.sandbox.snapshots import Entry, Manifest, Snapshots

MOST_FILE = 100 << 20
"""Bytes of a file that is carried; larger ones stay where they are."""
MOST_PIECE = 64 << 20
"""Bytes of one archive."""
MOST_FILES = 100_000
LONGEST_PATH = 4096
EARLY, MOST_EARLY = 4 << 20, 500
"""Bytes and files that are sent along with the question what is there."""

Key: TypeAlias = "tuple[Any, ...]"
"""What tells one state of a file from another: mode, hash and size there; mode and mark here."""
Action: TypeAlias = Literal["create", "edit", "delete"]


class Far(Protocol):
    """The other side: answers requests of `outpost.py`."""

    async def ask(self, do: str, blob: bytes = b"", **head: Any) -> tuple[dict[str, Any], bytes]: ...


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should hear about a file that was not simply carried over."""

    path: str
    action: Action
    text: str


@dataclass(slots=True)
class _Known:
    """What both sides last agreed on: `path → (key here, key there)`; kept on disk between processes."""

    disk: str = ""
    token: str = ""
    pairs: dict[str, tuple[Key | None, Key | None]] = field(default_factory=dict)


@dataclass(slots=True)
class _Plan:
    push: list[str] = field(default_factory=list)
    pull: list[str] = field(default_factory=list)
    delete_here: list[str] = field(default_factory=list)
    delete_there: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


class Sync:
    """Carries changes of `workspace` both ways; `state` is a file for what was agreed on."""

    def __init__(
        self, workspace: Path, snapshots: Snapshots, state: Path, store: Path, python: Iterable[str] = ()
    ) -> None:
        self._workspace = workspace
        self._snapshots = snapshots
        self._state = state
        self._store = store
        self._python = tuple(python)
        self._known: _Known | None = None
        self._there: dict[str, Key] = {}
        self._ignored = Ignored({})
        self._along: dict[str, tuple[Key, bytes]] = {}
        self._lock = asyncio.Lock()
        self.notes: list[Note] = []

    async def run(self, far: Far, workdir: str) -> None:
        """Until both sides are the same, but for what is left out. Raises SandboxError."""
        async with self._lock:
            known = self._known if self._known is not None else await asyncio.to_thread(_load, self._state)
            self._known = None  # whatever goes wrong: the next one reads what was written last
            here = await asyncio.to_thread(self._look)
            await self._look_there(far, workdir, known, here)
            plan = await asyncio.to_thread(self._plan, known, here)
            await asyncio.to_thread(self._delete_here, known, plan.delete_here)
            for paths in _pieces(plan.pull, lambda path: self._there[path][2]):
                await self._pull(far, workdir, known, here, paths, conflicts=frozenset(plan.conflicts))
            push = plan.push + [path for path in plan.conflicts if known.pairs.get(path, (0,))[0] is None]
            sizes = {path: here[path].size for path in push}
            delete = plan.delete_there
            for paths in _pieces(push, sizes.__getitem__) or ([[]] if delete else []):
                await self._push(far, workdir, known, here, paths, delete)
                delete = []
            await asyncio.to_thread(_save, self._state, known)
            self._known = known

    def only_there(self) -> list[str]:
        """Files that are not carried home for what they are; those left out on purpose do not count."""
        kept = self._kept_from_there()
        return sorted(p for p, key in self._there.items() if self._refusal(p, key, kept) not in ("", "-"))

    # -- looking ---------------------------------------------------------------------------------------

    def _look(self) -> Manifest:
        """What is here and may be carried."""
        manifest = self._snapshots.manifest()
        rules = {p: e for p, e in manifest.items() if p.rpartition("/")[2] in NAMES and not e.link}
        texts = {path: self._snapshots.text(entry) for path, entry in rules.items()}
        if not self._ignored.same(texts):
            self._ignored = Ignored(texts)
        kept = self._kept_from_there()
        return {p: e for p, e in manifest.items() if not self._ignored.match(p) and not _below(p, kept)}

    def _kept_from_there(self) -> frozenset[str]:
        """Places that the other side may neither see nor write: see guards.py."""
        hidden = guards.hidden(self._workspace, self._store)
        own = [path for path, writable in guards.read_only(self._workspace, self._python) if not writable]
        return frozenset(os.fspath(path.relative_to(self._workspace)) for path in (*hidden, *own))

    async def _look_there(self, far: Far, workdir: str, known: _Known, here: Manifest) -> None:
        """Bring `self._there` up to date; forget what was agreed on with a disk that is no more.

        What has changed here alone, for all we know, goes along, and small files that changed there come along.
        """
        token = known.token if self._there or not known.pairs else ""
        write, packed = await asyncio.to_thread(lambda: self._pack(here, self._early(known, here)))
        found, blob = await far.ask("scan", packed if write else b"", workdir=workdir, token=token, limit=MOST_FILE,
                                    skipped=sorted(folder.SKIPPED), write=write)  # fmt: skip
        if "many" in found:
            raise SandboxLimit(
                f"The sandbox's workspace has more than {found['many']:,} files; changes are not carried over.",
                hint="Remove what is not needed there, or name it in .agentignore.",
            )
        if found["disk"] != known.disk or found["fresh"]:
            known.pairs, known.disk = {}, str(found["disk"])
        if found["full"]:
            self._there = {}
        for path, key in found["changed"].items():
            self._there[path] = _key(key)
        for path in found["gone"]:
            self._there.pop(path, None)
        self._took(known, here, {"keys": {}, "failed": {}, **found})
        self._along = await asyncio.to_thread(_contents, found.get("contents") or {}, blob)

    def _early(self, known: _Known, here: Manifest) -> list[str]:
        """Files that only the person has changed since both sides agreed; none when there are many."""
        found, size = [], 0
        for path, entry in here.items() if self._there else ():
            before = known.pairs.get(path, (None, None))
            if _near(entry) != before[0] and self._there.get(path) == before[1]:
                found.append(path)
                size += entry.size
                if size > EARLY or len(found) > MOST_EARLY:
                    return []
        return found

    def _took(self, known: _Known, here: Manifest, answer: dict[str, Any]) -> None:
        """What the other side has done of what it was told to."""
        for path, key in answer["keys"].items():
            if key is None:
                self._there.pop(path, None)
                known.pairs.pop(path, None)
            elif path in here:
                self._there[path] = _key(key)
                known.pairs[path] = (_near(here[path]), _key(key))
        for path, reason in answer["failed"].items():
            if path in here or path in known.pairs:
                text = f"could not be written in the sandbox: {reason}"
                self._note(known, path, _near(here.get(path)), self._there.get(path), text)
        known.token = str(answer["token"])

    # -- deciding --------------------------------------------------------------------------------------

    def _plan(self, known: _Known, here: Manifest) -> _Plan:
        plan, kept = _Plan(), self._kept_from_there()
        paths = here.keys() | known.pairs.keys() | self._there.keys()
        for path in sorted(path for path in paths if self._changed(path, known, here)):
            near, before = here.get(path), known.pairs.get(path, (None, None))
            h, t = _near(near), self._there.get(path)
            if t is not None and (why := self._refusal(path, t, kept)):
                if h is not None and h != before[0]:
                    plan.push.append(path)
                else:
                    self._leave(known, path, h, t, why)
            elif near is None and self._ignored.match(path):
                known.pairs.pop(path, None)
            elif near is not None and near.size > MOST_FILE:
                self._note(known, path, h, t, f"not carried to the sandbox: {_too_large(near.size)}")
            elif t == before[1]:
                (plan.push if h is not None else plan.delete_there).append(path)
            elif h == before[0]:
                (plan.pull if t is not None else plan.delete_here).append(path)
            else:
                self._both(plan, known, path, near, t)
        return plan

    def _changed(self, path: str, known: _Known, here: Manifest) -> bool:
        h, t = known.pairs.get(path, (None, None))
        return self._there.get(path) != t or _near(here.get(path)) != h

    def _both(self, plan: _Plan, known: _Known, path: str, near: Entry | None, t: Key | None) -> None:
        """Both sides changed it."""
        if (near is None and t is None) or (near is not None and t is not None and _equal(near, t)):
            known.pairs.pop(path, None)
            if near is not None:
                known.pairs[path] = (_near(near), t)
        elif near is None:
            plan.pull.append(path)
            text = "you deleted it while the agent changed it: the agent's is back"
            self.notes.append(Note(_shown(path), "create", text))
        elif t is None:
            plan.push.append(path)
            text = "the agent deleted it while you changed it: yours stays"
            self.notes.append(Note(_shown(path), "edit", text))
        else:
            plan.pull.append(path)
            plan.conflicts.append(path)

    def _refusal(self, path: str, key: Key, kept: frozenset[str]) -> str:
        """Why what lies there at `path` does not come here; empty when it may."""
        try:
            folder.clean(path)
        except SandboxError:
            return "its name is not one for a file here"
        parts = path.split("/")
        if len(path) > LONGEST_PATH or not folder.SKIPPED.isdisjoint(parts) or _below(path, kept):
            return "it lies where only you may write"
        if self._ignored.match(path):
            return "-"
        if key[0] == "→" and not _inside(path, str(key[1])):
            return "it is a link that leads out of the workspace"
        if key[2] > MOST_FILE:
            return _too_large(key[2])
        return ""

    def _leave(self, known: _Known, path: str, h: Key | None, t: Key | None, why: str) -> None:
        if why == "-":  # ignored on purpose: nothing to say, nothing to remember
            known.pairs.pop(path, None)
        else:
            self._note(known, path, h, t, f"left in the sandbox: {why}")

    def _note(self, known: _Known, path: str, h: Key | None, t: Key | None, text: str) -> None:
        """Say it once, until the file changes again."""
        self.notes.append(Note(_shown(path), "edit" if path in known.pairs else "create", text))
        known.pairs[path] = (h, t)

    # -- from there ------------------------------------------------------------------------------------

    async def _pull(
        self,
        far: Far,
        workdir: str,
        known: _Known,
        here: Manifest,
        paths: list[str],
        conflicts: frozenset[str],
    ) -> None:
        along = {path: self._along[path] for path in paths if path in self._along}
        files = [path for path in paths if self._there[path][0] != "→" and path not in along]
        keys: dict[str, Any] = {}
        blob = b""
        if files:
            answer, blob = await far.ask("fetch", workdir=workdir, paths=files, limit=MOST_FILE)
            keys = answer["keys"]
        for path, (key, data) in along.items():
            await asyncio.to_thread(
                self._put, known, path, self._place(path, here, conflicts), key, io.BytesIO(data)
            )
        await asyncio.to_thread(self._unpack, known, here, files, keys, blob, conflicts)
        for path in paths:
            if self._there[path][0] == "→":
                place = self._place(path, here, conflicts)
                self._put(known, path, place, self._there[path], None)

    def _unpack(
        self,
        known: _Known,
        here: Manifest,
        files: list[str],
        keys: dict[str, Any],
        blob: bytes,
        conflicts: frozenset[str],
    ) -> None:
        named = {str(number): path for number, path in enumerate(files)}
        for number, source in _members(blob):
            if number in named and number in keys:
                path, key = named[number], _key(keys.pop(number))
                self._put(known, path, self._place(path, here, conflicts), key, source)

    def _place(self, path: str, here: Manifest, conflicts: frozenset[str]) -> str:
        """Where the agent's file goes: beside the person's, when both changed it."""
        if path not in conflicts:
            return path
        stem, ending = os.path.splitext(path)
        place, number = f"{stem} (sandbox){ending}", 2
        while place in here or place in self._there:
            place, number = f"{stem} (sandbox {number}){ending}", number + 1
        text = f"you and the agent both changed {_shown(path)}: yours stays there, this is the agent's"
        self.notes.append(Note(_shown(place), "create", text))
        return place

    def _put(self, known: _Known, path: str, place: str, key: Key, source: Any) -> None:
        if place == path and self._snapshots.differs(path):
            if folder.is_folder(self._workspace, path):
                self._note(
                    known, path, None, key, "could not be written here: a folder of yours has its name"
                )
            return  # a person was quicker: the next one meets both changes
        try:
            if source is None:
                folder.put_link(self._workspace, place, str(key[1]))
            else:
                folder.put_file(self._workspace, place, source, int(key[0]))
        except OSError as error:
            self._note(known, path, None, key, f"could not be written here: {error.strerror or error}")
            return
        self._there[path] = key
        written = self._now(place)
        known.pairs[path] = (written if place == path else None, key)

    def _now(self, path: str) -> Key | None:
        """The key of what was just written. The next look takes the same."""
        return _near(self._snapshots.entry(path))

    def _delete_here(self, known: _Known, paths: list[str]) -> None:
        for path in paths:
            if self._snapshots.differs(path):
                continue
            try:
                folder.remove(self._workspace, path)
            except OSError as error:
                self._note(
                    known, path, known.pairs[path][0], None, f"could not be deleted here: {error.strerror}"
                )
                continue
            folder.remove_empty(self._workspace, path)
            self._snapshots.gone(path)
            known.pairs.pop(path, None)

    # -- to there --------------------------------------------------------------------------------------

    async def _push(
        self, far: Far, workdir: str, known: _Known, here: Manifest, paths: list[str], gone: list[str]
    ) -> None:
        write, blob = await asyncio.to_thread(self._pack, here, paths)
        delete = [[path, self._there.get(path)] for path in gone]
        answer, _ = await far.ask("apply", blob, workdir=workdir, token=known.token, limit=MOST_FILE, write=write,
                                  delete=delete)  # fmt: skip
        self._took(known, here, answer)

    def _pack(self, here: Manifest, paths: list[str]) -> tuple[list[Any], bytes]:
        """([path, mode, target of a link, what is there now], …) and an archive of the files in the same order."""
        write: list[Any] = []
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in paths:
                entry = here[path]
                expected = self._there.get(path)
                if entry.link:
                    write.append([path, 0, entry.content[1:], expected])
                    continue
                try:
                    with folder.open_file(self._workspace, path) as file:
                        member = tarfile.TarInfo(str(len(write)))
                        data = folder.read_most(file, MOST_FILE + 1)
                except OSError:
                    continue  # gone or unreadable since: the next one sees that
                if len(data) <= MOST_FILE:
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                    write.append([path, entry.mode & 0o777, None, expected])
            end = tar.offset
        return write, packed.getvalue()[:end]


def _members(blob: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    """Plain files of an archive whose names are numbers; anything else in it is passed over. Raises SandboxError."""
    try:
        with tarfile.open(fileobj=io.BytesIO(blob or bytes(1024)), mode="r|") as tar:
            for member in tar:
                plain = member.type == tarfile.REGTYPE and 0 <= member.size <= MOST_FILE
                if plain and re.fullmatch("[0-9]{1,6}", member.name) and (source := tar.extractfile(member)):
                    yield member.name, source
    except (tarfile.TarError, ValueError, EOFError, OSError) as error:
        raise SandboxError(f"The sandbox sent an archive that cannot be read: {error}.") from error


def _contents(named: dict[str, Any], blob: bytes) -> dict[str, tuple[Key, bytes]]:
    """`path → (key, content)` of what came along with a look."""
    paths = {str(number): (path, _key(key)) for path, (number, key) in named.items()}
    return {paths[n][0]: (paths[n][1], source.read()) for n, source in _members(blob) if n in paths}


def _near(entry: Entry | None) -> Key | None:
    return None if entry is None else (entry.mode, entry.content, entry.size)


def _key(raw: Any) -> Key:
    """A key as the other side told it, in the shape we rely on. Raises SandboxError."""
    match raw:
        case ["→", str(target), _]:
            return ("→", target, 0)
        case [int(mode), str(content), int(size)] if size >= 0:
            return (mode & 0o777, content, size)
    raise SandboxError("The sandbox told of its files in a way that is not understood.")


def _equal(near: Entry, key: Key) -> bool:
    if near.link or key[0] == "→":
        return near.link and key[0] == "→" and near.content == f"→{key[1]}"
    return near.content == str(key[1]) and near.mode & 0o111 == int(key[0]) & 0o111


def _inside(path: str, target: str) -> bool:
    """Whether a relative link stays below the workspace."""
    if target.startswith("/") or "\0" in target:
        return False
    depth = path.count("/")
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return False
    return bool(target)


def _below(path: str, places: frozenset[str]) -> bool:
    return bool(places) and any(path == place or path.startswith(place + "/") for place in places)


def _too_large(size: int) -> str:
    return f"it has {size / (1 << 20):,.0f} MiB, {MOST_FILE >> 20} MiB is the most that is carried"


def _shown(path: str) -> str:
    return path.encode("utf-8", "replace").decode()


def _pieces(paths: list[str], size: Any) -> list[list[str]]:
    """Parts of a list that fit into one archive each."""
    pieces: list[list[str]] = []
    room = 0
    for path in paths:
        if not pieces or size(path) > room:
            pieces.append([])
            room = MOST_PIECE
        pieces[-1].append(path)
        room -= size(path)
    return pieces


def _load(path: Path) -> _Known:
    try:
        raw = json.loads(path.read_bytes())
        pairs = {name: (_tuple(here), _tuple(there)) for name, (here, there) in raw["pairs"].items()}
        return _Known(str(raw["disk"]), str(raw["token"]), pairs)
    except (OSError, ValueError, KeyError, TypeError):
        return _Known()  # nothing was agreed on: equal files are found equal, others are kept twice


def _save(path: Path, known: _Known) -> None:
    text = json.dumps({"disk": known.disk, "token": known.token, "pairs": known.pairs})
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        partial.write_text(text)
        os.replace(partial, path)
    except OSError as error:
        raise SandboxError(
            f"{path} cannot be written: {error.strerror}.", hint="Is the disk full?"
        ) from error


def _tuple(raw: Any) -> Key | None:
    return None if raw is None else tuple(raw)
