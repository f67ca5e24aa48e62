"""What requests may say. Everything else in them is refused, with the name of what is not known."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_kernel.events import Output
from agent_kernel.settings import Permission

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Path = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Secret = Annotated[str, Field(max_length=4096, pattern=r"^[\x21-\x7e]*$", repr=False)]
Text = Annotated[str, Field(max_length=1_000_000)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Options(Body):
    """Settings of one run; what is left out is the server's choice."""

    model: Name | None = None
    agent: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")] | None = None
    permission: Permission | None = None
    budget: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_turns: int | None = Field(default=None, ge=0, le=100_000)
    sandbox: Literal["local", "daytona", "none"] | None = None


class ModelSetup(Body):
    """How to reach your model: a key or a token, an endpoint where it is not Anthropic's own."""

    model: Name | None = None
    base_url: Annotated[str, Field(max_length=2_000, pattern=r"^(https?://[^\s]+)?$")] = ""
    api_key: Secret = ""
    auth_token: Secret = ""
    legacy_auth: bool = False


class NewSession(Body):
    """`notebook` is its path; a kernel's own notebook is known without it."""

    name: Name = "main"
    workspace: Path
    notebook: Path | None = None
    new: bool = False


class NewWorkspace(Body):
    """`folder` is below the server's own, and not there yet; `template` is one of `GET templates`."""

    folder: Path
    template: Name = "blank"


class NewRun(Body):
    """`kernel`: tools that run in the notebook's kernel are offered, and executed by whoever is attached. `beside`:
    the same for the kernel of a notebook (by Jupyter's own path) that one of your pages has open, through that page.
    `transcript`: it leaves its notebook in the workspace when it has ended. `cell`: the cell
    that shows it, by its id."""

    session: Name
    prompt: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    options: Options = Field(default_factory=Options)
    interactive: bool = True
    kernel: bool = False
    beside: Path | None = None
    transcript: bool = False
    cell: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")] = ""


class Resume(Body):
    options: Options = Field(default_factory=Options)
    interactive: bool = True
    kernel: bool = False


class NewSchedule(Body):
    """`when`: hourly, daily, weekly, or five fields of cron by the clock of `timezone`."""

    name: Name
    when: Name
    prompt: Annotated[str, Field(min_length=1, max_length=1_000_000)]
    workspace: Path
    notebook: Path | None = None
    timezone: Name = "UTC"
    overlap: Literal["skip", "queue"] = "skip"
    missed: Literal["skip", "once"] = "skip"
    options: Options = Field(default_factory=Options)


class Switch(Body):
    on: bool


class NewMessage(Body):
    text: Annotated[str, Field(min_length=1, max_length=1_000_000)]


class Answer(Body):
    decision: Literal["allow", "deny", "session"]
    reason: Annotated[str, Field(max_length=2_000)] = ""


class UndoOf(Body):
    """A call, a file, both, or (neither) the whole run."""

    call_id: Name | None = None
    path: Path | None = None


class Begin(Body):
    """`attempt` names the asking: the same again is told the same, should the answer have been lost."""

    attempt: Annotated[str, Field(max_length=64)] = ""


class Result(Body):
    """What a call gave in the notebook's kernel."""

    content: list[dict[str, Any]]
    is_error: bool = False
    duration_ms: int = Field(default=0, ge=0)
    truncated_bytes: int = Field(default=0, ge=0)
    outputs: list[Output] = []


class Fork(Body):
    """`seq`: the last event that is kept. `restore` puts files back to how they were then."""

    seq: int = Field(ge=1)
    prompt: Text = ""
    restore: bool = False
    options: Options = Field(default_factory=Options)
    interactive: bool = True
    kernel: bool = False


class OpenNotebooks(Body):
    """Jupyter's own paths, from the root it shows."""

    notebooks: list[Path]


class PageAnswer(Body):
    """What the page did, or `refused`: a `message` and a `hint`."""

    answer: dict[str, Any]


class OfSession(Body):
    """The session whose workspace and sandbox are meant."""

    session: Name


class NewServer(Body):
    """`template` names one of `GET mcp/templates`; else `said` is what an `mcpServers` entry of a file holds."""

    session: Name
    name: Name
    template: Name | None = None
    said: dict[str, Any] = Field(default_factory=dict)


class NewSkill(Body):
    """`description` is what the model chooses by."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: Annotated[str, Field(max_length=1_024)] = ""


class SkillText(Body):
    """The whole `SKILL.md`."""

    text: Annotated[str, Field(min_length=1, max_length=262_144)]


class Trust(Body):
    """`hash` is that of the `.mcp.json` the person saw: if it has changed since, nothing is trusted."""

    session: Name
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Yes(Body):
    """Trust in one thing of a workspace, as the person saw it: `hash` is what it was shown with."""

    workspace: Path
    kind: Literal["skill", "agent", "mcp"]
    name: Name
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Nothing(Body):
    """No fields."""
