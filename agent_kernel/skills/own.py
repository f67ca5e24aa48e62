"""A person's own skills, below their home: begun from a template, read and written."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from agent_kernel.errors import SkillError
from agent_kernel.skills.contents import contents, read_regular
from agent_kernel.skills.library import PLACES, Library
from agent_kernel.skills.skill import FILE, MOST_NAME, Skill, read_skill, slug

MOST_TEXT = 256 << 10
TEMPLATE = """\
---
name: {name}
description: {description}
---

# {title}

1. What to look at first, and how.
2. What to do, step by step. Scripts lie beside this file: `python scripts/example.py FILE`.
3. How to tell that it is right, and what to leave behind.
"""


def own_folder() -> Path:
    return Path.home() / PLACES[0]


def begin(folder: Path, name: str, description: str = "") -> Skill:
    """A new skill in `folder`, from the template. Raises SkillError."""
    if name != slug(name):
        known = slug(name)
        raise SkillError(
            f"{name[:80]!r} is no name for a skill: small letters, digits and hyphens, at most {MOST_NAME}.",
            hint=f"Say {known}." if known else "",
        )
    place = folder / name
    said = " ".join((description or f"Says how {name.replace('-', ' ')} is done here. Use when …").split())
    try:
        (place / "scripts").mkdir(parents=True)
        text = TEMPLATE.format(
            name=name,
            description=json.dumps(said, ensure_ascii=False),
            title=name.replace("-", " ").capitalize(),
        )
        (place / FILE).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise SkillError(f"{place} is there already.") from None
    except OSError as error:
        raise SkillError(f"{place} cannot be made: {error.strerror}.") from None
    return read_skill(place)


def owned(library: Library, name: str) -> Skill:
    """The person's own skill of this name. Raises SkillError for what is not theirs to change here."""
    for entry in library.entries:
        if entry.skill.scope == "user" and entry.skill.name == slug(name):
            return entry.skill
    scope = library.find(name).skill.scope
    whose = (
        "comes with agent-kernel" if scope == "bundled" else "belongs to the workspace: edit its files there"
    )
    raise SkillError(f"{name} {whose}.", hint="Begin one of your own with another name.")


def read(skill: Skill) -> str:
    """Its SKILL.md; no link that leads out of its folder is followed. Raises SkillError."""
    found = next((file for file in contents(skill.folder).files if file.path.lower() == FILE.lower()), None)
    if found is None:
        raise SkillError(f"There is no {FILE} in {skill.folder}.")
    try:
        return read_regular(found.place, MOST_TEXT).decode("utf-8", "replace")
    except OSError as error:
        raise SkillError(f"{found.place} cannot be read: {error.strerror}.") from None


def write(skill: Skill, text: str) -> Skill:
    """Give it another SKILL.md, at once. Raises SkillError."""
    data = text.encode("utf-8", "replace")
    if len(data) > MOST_TEXT:
        raise SkillError(
            f"{FILE} would have more than {MOST_TEXT >> 10} KB.", hint="Put details into files of their own."
        )
    try:
        descriptor, partial = tempfile.mkstemp(dir=skill.folder, prefix=".skill-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(partial, 0o644)
            os.replace(partial, skill.folder / _name_of(skill))
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        raise SkillError(f"{skill.folder / FILE} cannot be written: {error.strerror}.") from None
    return read_skill(skill.folder)


def _name_of(skill: Skill) -> str:
    """`skill.md` counts, too."""
    names = [name for name in os.listdir(skill.folder) if name.lower() == FILE.lower()]
    return FILE if FILE in names or not names else names[0]
