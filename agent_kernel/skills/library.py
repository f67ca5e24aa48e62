"""All skills that one session can see: where they are found, which one wins, and which wait for a person's trust."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from agent_kernel.errors import SkillError
from agent_kernel.skills.contents import contents, pack
from agent_kernel.skills.skill import Scope, Skill, read_skill, slug
from agent_kernel.skills.trust import Trust

State: TypeAlias = Literal["on", "off", "untrusted", "shadowed", "broken"]
PLACES = (Path(".agents/skills"), Path(".claude/skills"))
"""Below the workspace and below the home folder; the first one wins."""
MOST_FOLDERS = 1_000
MOST_HASHED = 256 << 20
"""Bytes of a workspace's skills that are read to see whether they are trusted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A skill and what becomes of it in a session. `digest` is known of a workspace's trusted ones."""

    skill: Skill
    state: State
    digest: str = ""

    def summary(self) -> dict[str, Any]:
        """As JSON, for people who choose."""
        return {
            "name": self.skill.name,
            "description": self.skill.description,
            "scope": self.skill.scope,
            "state": self.state,
            "folder": str(self.skill.folder),
            "problems": [{"level": p.level, "text": p.text} for p in self.skill.problems],
        }


@dataclass(frozen=True, slots=True)
class Library:
    """Nearest first."""

    entries: tuple[Entry, ...] = ()

    @property
    def on(self) -> list[Skill]:
        """What the model may use."""
        return [entry.skill for entry in self.entries if entry.state == "on"]

    @property
    def digests(self) -> dict[str, str]:
        """Of the skills that were trusted, by name: what they must still be when they are used."""
        return {
            entry.skill.name: entry.digest for entry in self.entries if entry.state == "on" and entry.digest
        }

    def find(self, name: str) -> Entry:
        """The entry that counts under this name. Raises SkillError with names that are near."""
        found = [entry for entry in self.entries if entry.skill.name == slug(name)]
        if found:
            return min(found, key=lambda entry: entry.state not in ("on", "off"))
        near = near_names(name, (entry.skill for entry in self.entries))
        raise SkillError(
            f"There is no skill {name[:80]!r}.", hint=f"There is: {', '.join(near)}." if near else ""
        )


def near_names(text: str, skills: Iterable[Skill], most: int = 8) -> list[str]:
    """Names that resemble `text`, then those whose name or description holds most of its words."""
    known = {skill.name: skill for skill in skills}
    close = difflib.get_close_matches(slug(text), known, 3, 0.6)
    words = set(re.findall(r"\w{3,}", text.lower()))

    def hits(skill: Skill) -> int:
        return len(words & set(re.findall(r"\w{3,}", f"{skill.name} {skill.description}".lower())))

    fitting = sorted((s for s in known.values() if hits(s)), key=lambda s: (-hits(s), s.name))
    return list(dict.fromkeys([*close, *(skill.name for skill in fitting)]))[:most]


def open_library(
    workspace: Path | None, trust: Trust, *, off: Collection[str] = (), home: Path | None = None
) -> Library:
    """The skills of the package, the person and (as far as they are trusted) the workspace.

    Reads files: not for an event loop. Never raises for what it finds.
    """
    taken: set[str] = set()
    entries: list[Entry] = []
    left = 0 if trust.empty or trust.within(workspace) else MOST_HASHED
    for skill in _all(workspace, Path.home() if home is None else home):
        state, digest, size = _state(skill, trust, left)
        left -= size
        if state == "on" and skill.name in taken:
            state = "shadowed"
        elif state == "on":
            taken.add(skill.name)
            state = "off" if skill.name in off else "on"
        entries.append(Entry(skill, state, digest))
    return Library(tuple(entries))


def skills_in(root: Path, scope: Scope = "user") -> Iterator[Skill]:
    """The skills in the folders of `root`, by the folders' names."""
    try:
        with os.scandir(root) as listing:
            names = sorted(entry.name for entry in listing if not entry.name.startswith((".", "__")))
    except OSError:
        return
    folders = [name for name in names if os.path.isdir(root / name)]
    for name in folders[:MOST_FOLDERS]:
        yield read_skill(root / name, scope)


@cache
def bundled_folder() -> Path:
    """`agent_kernel/skills` of an installed package, `skills` of a checkout."""
    here = Path(__file__).parent
    checkout = here.parents[1] / "skills"
    installed = any(here.glob("*/SKILL.md")) or not (here.parents[1] / "pyproject.toml").is_file()
    return here if installed else checkout


def _all(workspace: Path | None, home: Path) -> Iterator[Skill]:
    seen: set[Path] = set()
    for root, scope in _roots(workspace, home):
        try:
            real = root.resolve(strict=True)
        except (OSError, RuntimeError):
            continue
        if real in seen:
            continue
        seen.add(real)
        for skill in _bundled(root) if scope == "bundled" else skills_in(root, scope):
            # A link in a workspace could show the agent any folder of the person's as a skill.
            if scope != "workspace" or (
                workspace and skill.folder.resolve().is_relative_to(workspace.resolve())
            ):
                yield skill


@cache
def _bundled(root: Path) -> tuple[Skill, ...]:
    """Read once: each run looks, and the package's own do not change while it runs."""
    return tuple(skills_in(root, "bundled"))


def _roots(workspace: Path | None, home: Path) -> Iterator[tuple[Path, Scope]]:
    """A person's own folder is theirs, also where it is the workspace: the sandbox hides its dot files.
    A workspace that lies within their skills is the agent's to write."""
    real = workspace.resolve() if workspace else None
    if workspace is not None and real != home.resolve():
        yield from ((workspace / place, "workspace") for place in PLACES)
    for place in PLACES:
        within = real is not None and real.is_relative_to((home / place.parts[0]).resolve())
        yield home / place, "workspace" if within else "user"
    yield bundled_folder(), "bundled"


def _state(skill: Skill, trust: Trust, left: int) -> tuple[State, str, int]:
    """The state before switches and names are looked at, the hash that is trusted, and the bytes that were read.
    `left` is how many may be: a workspace could be made to cost any time."""
    state: State = "on" if skill.usable else "broken"
    if skill.scope != "workspace":
        return state, "", 0
    size = sum(file.size for file in contents(skill.folder).files) if left else 0
    if not left or size > left:
        return "untrusted", "", 0
    try:
        digest = pack(skill.folder).digest
    except SkillError:
        return "broken", "", size
    return (state, digest, size) if digest in trust else ("untrusted", "", size)
