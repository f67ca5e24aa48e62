"""What in a workspace waits for a person's trust: skills, agent definitions, `.mcp.json`, shown as they are now.

Trust is given to the bytes that were shown: their hash comes back with the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_kernel.definitions import find_definitions
from agent_kernel.errors import SettingsError, SkillError
from agent_kernel.mcp.config import WORKSPACE_FILE, Configuration, read_workspace_file
from agent_kernel.skills import Trust, open_library
from agent_kernel.skills.contents import Packed, pack

MOST_TEXT = 20_000
"""Characters of one file that are shown."""
MOST_SHOWN = 200_000
MOST_SKILLS = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A file as a person looks at it. `text` is empty for what is no text; `cut` says that there is more."""

    path: str
    size: int
    executable: bool = False
    text: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """One thing that wants to be trusted, and what it would be trusted with."""

    kind: Literal["skill", "agent", "mcp"]
    name: str
    about: str
    place: str
    hash: str
    files: tuple[Shown, ...]


def asking(workspace: Path, trust: Trust, servers: Configuration) -> list[Asking]:
    """Reads files: not for an event loop. Empty where the agent could write the trust itself."""
    if trust.within(workspace):
        return []
    found = [*_servers(workspace, servers)]
    found += [
        Asking(
            "agent",
            one.name,
            one.definition.description if one.definition else "",
            _place(one.path, workspace),
            one.digest,
            (_shown(one.path.name, one.text.encode(), executable=False, room=MOST_SHOWN),),
        )
        for one in find_definitions(workspace, trust)
        if one.state == "untrusted"
    ]
    untrusted = [
        entry.skill for entry in open_library(workspace, trust).entries if entry.state == "untrusted"
    ]
    for skill in untrusted[:MOST_SKILLS]:
        try:
            packed = pack(skill.folder)
        except SkillError:  # it changes just now, or cannot be read: nothing that could be trusted
            continue
        place = _place(skill.folder, workspace)
        found.append(Asking("skill", skill.name, skill.description, place, packed.digest, _files(packed)))
    return found


def accept(workspace: Path, kind: str, name: str, digest: str, trust: Trust, servers: Configuration) -> None:
    """Trust it, if it is still what the person saw. Raises SettingsError."""
    if trust.within(workspace):
        raise SettingsError(
            f"Trust would be kept in {trust.folder}, which lies in the workspace: the agent could write it.",
            hint="Set AGENT_KERNEL_DATA_DIR to a folder elsewhere.",
        )
    if kind == "mcp":
        servers.trust(workspace, digest)
        return
    asked = [one for one in asking(workspace, trust, servers) if (one.kind, one.name) == (kind, name)]
    if not any(one.hash == digest for one in asked):
        raise SettingsError(f"{name} has changed since you saw it, or is gone.", hint="Look again.")
    trust.add(digest, name, workspace / asked[0].place)


def _place(path: Path, workspace: Path) -> str:
    return str(path.relative_to(workspace) if path.is_relative_to(workspace) else path)


def _servers(workspace: Path, servers: Configuration) -> Iterable[Asking]:
    found = servers.find(workspace)
    if not found.untrusted:
        return
    data = read_workspace_file(workspace / WORKSPACE_FILE)
    about = "; ".join(f"{one.name}: {one.where}" for one in found.waiting)
    shown = _shown(WORKSPACE_FILE, data, executable=False, room=MOST_SHOWN)
    yield Asking("mcp", WORKSPACE_FILE, about, WORKSPACE_FILE, found.untrusted, (shown,))


def _files(packed: Packed) -> tuple[Shown, ...]:
    """`SKILL.md` first: it is what the agent follows."""
    room = MOST_SHOWN
    shown = []
    for file, data in sorted(packed.files, key=lambda one: (one[0].path.lower() != "skill.md", one[0].path)):
        shown.append(_shown(file.path, data, executable=file.executable, room=room))
        room -= len(shown[-1].text)
    return tuple(shown)


def _shown(path: str, data: bytes, *, executable: bool, room: int) -> Shown:
    try:
        text = "" if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        text = ""
    most = min(MOST_TEXT, max(0, room))
    return Shown(path, len(data), executable, text[:most], len(text) > most)
