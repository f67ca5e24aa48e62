"""Agent definitions: YAML files that say as what an agent works: model, prompt, tools, skills, limits.

A person's lie in `~/.agents/agents`, a project's in `<workspace>/.agents/agents`. The project's are text of
strangers until a person has trusted those very bytes. Neither kind can widen anything: permission and limits
only tighten, and where requests go, what the network allows and credentials are not theirs to say.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_kernel.errors import SettingsError
from agent_kernel.settings import Permission, Settings, stricter
from agent_kernel.skills import Library, Trust
from agent_kernel.skills.header import read_yaml

PLACE = Path(".agents/agents")
"""Below the workspace and below the home folder; the workspace's counts where both have one of a name."""
ENDINGS = (".yaml", ".yml")
MOST_BYTES = 64 << 10
MOST_FILES = 500
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
Scope: TypeAlias = Literal["workspace", "user"]
State: TypeAlias = Literal["on", "untrusted", "shadowed", "broken"]
Names = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]


class AgentDefinition(BaseModel):
    """What one file says. None: as without a definition; an empty list: none at all.

    `tools` are names or patterns (`mcp__github__*`), `prompt` follows the system prompt, money is in USD.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: Annotated[str, Field(max_length=1024)] = ""
    model: Annotated[str, Field(max_length=200)] = ""
    prompt: str = ""
    tools: Names | None = None
    skills: Names | None = None
    mcp_servers: Names | None = None
    permission: Permission | None = None
    budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_turns: Annotated[int, Field(gt=0, le=100_000)] | None = None

    def has_tool(self, name: str) -> bool:
        return self.tools is None or any(fnmatchcase(name, pattern) for pattern in self.tools)

    def narrowed(self, library: Library) -> Library:
        """The skills that this agent uses; the others are switched off."""
        if self.skills is None:
            return library
        return Library(
            tuple(
                entry
                if entry.state != "on" or entry.skill.name in self.skills
                else replace(entry, state="off")
                for entry in library.entries
            )
        )

    def applied(self, settings: Settings) -> Settings:
        """`settings` of a run that works as this agent. A model that a person named for the run stays."""
        limits = stricter(settings, permission=self.permission, budget=self.budget, max_turns=self.max_turns)
        model = self.model if self.model and not settings.is_said("model") else None
        return settings.with_overrides(f"agent {self.name}", model=model, **limits)


@dataclass(frozen=True, slots=True)
class Found:
    """A file and what becomes of it. `problem` says why it is broken; `digest` is what trust is given to."""

    name: str
    path: Path
    scope: Scope
    state: State
    text: str = ""
    definition: AgentDefinition | None = None
    problem: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"agent definition\0" + self.text.encode()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """As JSON, for people who choose."""
        return {
            "name": self.name,
            "description": self.definition.description if self.definition else "",
            "scope": self.scope,
            "state": self.state,
            "path": str(self.path),
            "problem": self.problem,
        }


def parse_definition(name: str, text: str) -> AgentDefinition:
    """Raises SettingsError with what is wrong, and in which field."""
    try:
        fields, repeated = read_yaml(text)
    except ValueError as error:
        raise SettingsError(f"The agent definition {name} is not valid YAML: {error}.") from None
    if repeated:
        raise SettingsError(f"The agent definition {name}: {repeated[0].text}.", hint="Say it once.")
    try:
        return AgentDefinition.model_validate({**fields, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"The agent definition {name}: {where} = {str(first['input'])[:80]!r}: {first['msg']}.",
            hint=f"Fields are: {', '.join(sorted(AgentDefinition.model_fields.keys() - {'name'}))}.",
        ) from None


def find_definitions(workspace: Path | None, trust: Trust, home: Path | None = None) -> list[Found]:
    """All that a session could work as, nearest first. Reads files; never raises for what it finds."""
    found: list[Found] = []
    for folder, scope in _places(workspace, Path.home() if home is None else home):
        for path in _files(folder):
            one = _read(path, scope)
            if one.state == "on" and scope == "workspace":
                one = one if not trust.within(workspace) and one.digest in trust else _state(one, "untrusted")
            if one.state == "on" and any(other.name == one.name and other.state == "on" for other in found):
                one = _state(one, "shadowed")
            found.append(one)
    return found


def load_definition(name: str, workspace: Path | None, trust: Trust, home: Path | None = None) -> Found:
    """The one that counts under this name. Raises SettingsError with what to do."""
    found = find_definitions(workspace, trust, home)
    named = [one for one in found if one.name == name]
    if not named:
        known = [one.name for one in found if one.state == "on"]
        near = difflib.get_close_matches(name, known, 3) or known[:8]
        raise SettingsError(
            f"There is no agent definition {name[:80]!r}.",
            hint=f"There is: {', '.join(near)}." if near else f"Write one: {PLACE}/{name[:80]}.yaml.",
        )
    best = min(named, key=lambda one: ("on", "untrusted", "broken", "shadowed").index(one.state))
    if best.state == "untrusted":
        raise SettingsError(
            f"The agent definition {name} of this workspace is not trusted.",
            hint=f"Read {best.path}, then: agent-kernel agents trust {name}",
        )
    if best.definition is None:
        raise SettingsError(best.problem, hint=f"Mend {best.path}.")
    return best


def _places(workspace: Path | None, home: Path) -> Iterator[tuple[Path, Scope]]:
    """A person's own folder is theirs, unless it lies where the agent writes."""
    real = workspace.resolve() if workspace else None
    if workspace is not None and real != home.resolve():
        yield workspace / PLACE, "workspace"
    within = real is not None and real.is_relative_to((home / PLACE.parts[0]).resolve())
    yield home / PLACE, "workspace" if within else "user"


def _files(folder: Path) -> list[Path]:
    """No link: in a workspace it could stand for any file of the person's."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in ENDINGS)
    except OSError:
        return []
    return [path for path in paths[:MOST_FILES] if path.is_file() and not path.is_symlink()]


def _read(path: Path, scope: Scope) -> Found:
    name = path.stem
    if not NAME.fullmatch(name) or len(name) > 64:
        problem = f"{path.name!r}: the name has to be small letters, digits and hyphens, at most 64."
        return Found(name[:64], path, scope, "broken", problem=problem)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise SettingsError(f"{path} is larger than {MOST_BYTES >> 10} KiB.")
        text = data.decode("utf-8")
        return Found(name, path, scope, "on", text, parse_definition(name, text))
    except UnicodeDecodeError:
        problem = f"{path} is not UTF-8 text."
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}."
    except SettingsError as error:
        problem = error.message
    return Found(name, path, scope, "broken", problem=problem)


def _state(found: Found, state: State) -> Found:
    return replace(found, state=state)
