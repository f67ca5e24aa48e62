"""One skill: a folder with a `SKILL.md`, read leniently, with everything that is wrong with it named."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from agent_kernel.errors import SkillError
from agent_kernel.skills.allowed import Allowed
from agent_kernel.skills.contents import contents, read_regular
from agent_kernel.skills.header import Header, parse
from agent_kernel.skills.problem import Problem, advice, error, warning

Scope: TypeAlias = Literal["workspace", "user", "bundled"]
FILE = "SKILL.md"
MOST_FILE = 1 << 20
MOST_NAME, MOST_DESCRIPTION, MOST_COMPATIBILITY = 64, 1024, 500
ADVISED_LINES, ADVISED_BYTES = 500, 20_000
FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
OTHERS = frozenset(
    {"disable-model-invocation", "user-invocable", "argument-hint", "model", "version", "tools"}
)
"""Fields that other programs give a meaning to; only the first has one here."""
_LINK = re.compile(r"\]\(\s*<?([^)\s#>]+)")
_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Skill:
    """`name` is what it is called by: small letters, digits and hyphens, whatever was written.

    `listed` is false for a skill that asks to be used only when a person names it.
    """

    name: str
    description: str
    folder: Path
    scope: Scope
    license: str = ""
    compatibility: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    allowed: Allowed | None = None
    listed: bool = True
    problems: tuple[Problem, ...] = ()

    @property
    def usable(self) -> bool:
        return not any(problem.level == "error" for problem in self.problems)

    def body(self) -> str:
        """The instructions, without the front matter. Raises SkillError."""
        return parse(read_regular(_file(self.folder).resolve(), MOST_FILE)).body


def slug(text: str) -> str:
    """`text` as a skill may be called; empty when nothing of it can be."""
    letters = unicodedata.normalize("NFKC", text[:1000]).lower()
    return re.sub(r"[\W_]+", "-", letters).strip("-")[:MOST_NAME].strip("-")


def is_skill(folder: Path) -> bool:
    """Whether the folder holds a skill, in whichever letters its file is written."""
    return os.path.isfile(folder / FILE) or os.path.isfile(folder / FILE.lower())


def read_skill(folder: Path, scope: Scope = "user") -> Skill:
    """The skill in `folder`. Never raises: what keeps it from being used is among its `problems`."""
    bare = Skill(slug(folder.name) or "unnamed", "", folder, scope)
    path = _file(folder)
    try:
        if not path.resolve(strict=True).is_relative_to(folder.resolve()):
            return replace(bare, problems=(error(f"{path.name} is a link that leads out of the skill"),))
        data = read_regular(path.resolve(), MOST_FILE + 1)
    except (OSError, RuntimeError):
        return replace(bare, problems=(error(f"it has no {FILE}"),))
    except SkillError as failed:
        return replace(bare, problems=(error(failed.message.rstrip(".")),))
    found: list[Problem] = []
    if path.name != FILE:
        found.append(warning(f"its file is {path.name} and should be {FILE}"))
    if len(data) > MOST_FILE:
        found.append(warning(f"{FILE} has more than {MOST_FILE >> 20} MiB; the rest is left out"))
    header = parse(data[:MOST_FILE])
    found += header.problems
    return _described(bare, header, found)


def examine(skill: Skill) -> list[Problem]:
    """All that is wrong with the skill, its files and its links included. Reads more than `read_skill`."""
    if not skill.usable:
        return list(skill.problems)
    inside = contents(skill.folder)
    found = [*skill.problems, *inside.problems]
    body = skill.body()
    if not body.strip():
        found.append(warning("it has no instructions after its front matter"))
    lines = body.count("\n") + 1
    size = len(body.encode("utf-8", "replace"))
    if lines > ADVISED_LINES or size > ADVISED_BYTES:
        found.append(
            advice(
                f"its instructions are long ({lines:,} lines, {size:,} bytes); move details to other files"
            )
        )
    files = {file.path for file in inside.files}
    for link in dict.fromkeys(_LINK.findall(_CODE.sub("", body))):
        place = link.removeprefix("./")
        if re.match(r"[a-z][a-z0-9+.-]*:|[/~$]", place, re.IGNORECASE) or place.startswith("mailto"):
            continue
        if place.rstrip("/") not in files and not any(f.startswith(f"{place.rstrip('/')}/") for f in files):
            found.append(advice(f"it links to {link[:80]}, which is not among its files"))
    return found


def _file(folder: Path) -> Path:
    """Its `SKILL.md`; where that is missing, what may have been meant."""
    small = folder / FILE.lower()
    return small if not os.path.lexists(folder / FILE) and os.path.lexists(small) else folder / FILE


def _described(bare: Skill, header: Header, found: list[Problem]) -> Skill:
    fields = header.fields
    name = _name(bare, fields, found)
    description = _description(header, found)
    compatibility = _text(fields, "compatibility", found)
    if len(compatibility) > MOST_COMPATIBILITY:
        found.append(
            warning(f"compatibility has {len(compatibility):,} characters; {MOST_COMPATIBILITY} is the most")
        )
    for key in fields:
        if key not in FIELDS and key in OTHERS:
            found.append(advice(f"{key} is a field of other programs, not of the format"))
        elif key not in FIELDS:
            found.append(warning(f"{key[:60]!r} is not a field; the fields are {', '.join(FIELDS)}"))
    return replace(
        bare,
        name=name,
        description=description,
        license=_text(fields, "license", found),
        compatibility=compatibility,
        metadata=_metadata(fields, found),
        allowed=_allowed(fields, found),
        listed=str(fields.get("disable-model-invocation", "")).lower() not in ("true", "yes", "on"),
        problems=tuple(found),
    )


def _name(bare: Skill, fields: Mapping[str, Any], found: list[Problem]) -> str:
    written = _text(fields, "name", found)
    if not written:
        found.append(warning(f"name is missing; the folder's, {bare.name}, stands in"))
        return bare.name
    name = slug(written)
    if not name:
        found.append(warning(f"name {written[:60]!r} has no letter or digit; {bare.name} stands in"))
        return bare.name
    if len(written) > MOST_NAME:
        found.append(warning(f"name has {len(written):,} characters; {MOST_NAME} is the most"))
    elif name != unicodedata.normalize("NFKC", written):
        found.append(
            warning(
                f"name {written!r} may hold only small letters, digits and single hyphens; it is called {name}"
            )
        )
    if name != unicodedata.normalize("NFKC", bare.folder.name):
        found.append(warning(f"name {name} is not that of its folder, {bare.folder.name}"))
    return name


def _description(header: Header, found: list[Problem]) -> str:
    text = _text(header.fields, "description", found)
    if not text:
        text = _first_paragraph(header.body)
        if not text:
            found.append(error("description is missing, and there is no text to take one from"))
            return ""
        found.append(warning("description is missing; its first paragraph stands in"))
        return text[:MOST_DESCRIPTION]
    if len(text) > MOST_DESCRIPTION:
        found.append(warning(f"description has {len(text):,} characters; {MOST_DESCRIPTION:,} is the most"))
    if len(text) < 20:
        found.append(advice(f"description {text!r} hardly says what it does and when to use it"))
    return text[:MOST_DESCRIPTION]


def _first_paragraph(body: str) -> str:
    for paragraph in body.split("\n\n"):
        lines = [line for line in paragraph.split("\n") if line.strip() and not line.startswith(("#", "---"))]
        if lines:
            return _line(" ".join(lines))
    return ""


def _text(fields: Mapping[str, Any], name: str, found: list[Problem]) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        found.append(warning(f"{name} is {_kind(value)} and should be text"))
        return ""
    if name in fields and not value.strip() and name not in ("name", "description"):
        found.append(warning(f"{name} is empty"))
    return _line(value)


def _metadata(fields: Mapping[str, Any], found: list[Problem]) -> dict[str, str]:
    value = fields.get("metadata", {})
    if not isinstance(value, dict):
        found.append(warning(f"metadata is {_kind(value)} and should be a mapping of text"))
        return {}
    for key in value:
        if not isinstance(value[key], str):
            found.append(warning(f"metadata.{key[:60]} is {_kind(value[key])} and should be text"))
    return {_line(key): _line(item) for key, item in value.items() if isinstance(item, str)}


def _allowed(fields: Mapping[str, Any], found: list[Problem]) -> Allowed | None:
    if "allowed-tools" not in fields:
        return None
    value = fields["allowed-tools"]
    if isinstance(value, dict):
        found.append(warning("allowed-tools is a mapping and should be text"))
        return None
    if isinstance(value, list):
        found.append(
            advice("allowed-tools is a list; the format wants one text with spaces between the tools")
        )
        value = " ".join(item for item in value if isinstance(item, str))
    allowed = Allowed.parse(value)
    for name in allowed.unknown:
        found.append(advice(f"allowed-tools names {name[:60]}, which is no tool here"))
    return allowed


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else "text"


def _line(text: str) -> str:
    """On one line, without what cannot be shown."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())
