"""Every error the package raises on purpose, drawn as one tree.

An error carries what was wrong (`message`), and what to do next (`hint`). A failing tool is not an
error here: it becomes a `tool_result` with `is_error` that the model can act on (see `ToolError`).
"""

from __future__ import annotations


class AgentKernelError(Exception):
    """Base of all; `retryable` says whether the same call may work later."""

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SettingsError(AgentKernelError):
    """A setting, option or file of settings that cannot be used."""


class PlatformUnsupported(AgentKernelError):
    """This operating system cannot run the package."""


# -- model ------------------------------------------------------------------------------------------


class ModelError(AgentKernelError):
    """The model's endpoint failed; `kind` is the provider's error type, `status` the HTTP status."""

    def __init__(
        self,
        message: str,
        *,
        kind: str = "api_error",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class ModelNotConfigured(ModelError):
    """Neither a key nor an endpoint is set."""


class ContextOverflow(ModelError):
    """The history no longer fits the model's window."""


# -- runs -------------------------------------------------------------------------------------------


class RunError(AgentKernelError):
    """A run cannot do what was asked of it."""


class RunNotFound(RunError):
    """No run (or session) has this id, or it belongs to somebody else."""


class OnlyCopy(RunError):
    """Deleting it would lose what is nowhere else."""


class RunBusy(RunError):
    """Another live process owns the run."""


class OwnershipLost(RunError):
    """Our fencing number is no longer the run's: somebody else took it over; stop at once."""


class AlreadyAppended(RunError):
    """The call has its start, its result or its answer already: of two, one wins."""


class StoreError(AgentKernelError):
    """The event store could not be opened, read or written (away, full disk, no permission, damaged file)."""

    retryable = True


class Unstorable(StoreError):
    """A value that no event store can hold."""

    retryable = False


class ServerUnreachable(AgentKernelError):
    """The Jupyter server that hosts the runs does not answer."""

    retryable = True


class JobsError(AgentKernelError):
    """The queue of runs could not be opened or reached, or a schedule cannot be as it was asked for."""


class DiedOften(JobsError):
    """The workers that took `activation` of a run died, each of them."""

    activation = 0


# -- sandbox ----------------------------------------------------------------------------------------


class SandboxError(AgentKernelError):
    """Base of what a sandbox may raise."""


class SandboxUnavailable(SandboxError):
    """The sandbox cannot be started or has died."""

    retryable = True


class SandboxTimeout(SandboxError):
    """An operation took longer than allowed and was killed."""


class SandboxDenied(SandboxError):
    """The sandbox's rules forbid this (a path outside the workspace, a host not allowed)."""


class SandboxLimit(SandboxError):
    """A limit was reached: disk, memory, processes, file size."""


class SandboxNotFound(SandboxError):
    """No such sandbox, file or snapshot."""


# -- skills -----------------------------------------------------------------------------------------


class SkillError(AgentKernelError):
    """A skill cannot be found, read, trusted, installed or removed."""


# -- tools ------------------------------------------------------------------------------------------


class ToolError(AgentKernelError):
    """A tool could not do its work; the text goes to the model as an error result."""
