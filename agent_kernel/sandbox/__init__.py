"""Sandboxes: where tools act. `open_sandbox` opens one."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from agent_kernel.errors import SandboxUnavailable
from agent_kernel.sandbox.base import Limits, NetworkPolicy, Sandbox, Tier
from agent_kernel.sandbox.daytona_api import Access, Patience, Service
from agent_kernel.sandbox.launch import TierReport, launcher_for, probe

__all__ = ["TierReport", "open_sandbox", "probe"]


async def open_sandbox(
    *,
    workspace: str | Path,
    provider: str = "local",
    id: str | None = None,  # noqa: A002
    data_dir: str | Path | None = None,
    python: str | None = None,
    limits: Limits | None = None,
    network: NetworkPolicy | None = None,
    allow_unsafe: bool = False,
    env: Mapping[str, str] | None = None,
    tier: Tier | None = None,
    daytona: Access | None = None,
    patience: Patience | None = None,
    create: bool = True,
    told: Callable[[str], Awaitable[None]] | None = None,
) -> Sandbox:
    """A sandbox for `workspace`; `async with` (or `start`) starts it.

    The same `id` and `data_dir` find what an earlier one installed, and its snapshots. `python` is the
    interpreter whose environment is shown inside (default: this one's). `tier` takes one tier instead of the
    best. `daytona` is the way to that provider; without `create` the sandbox must be there, and `told` hears the
    service's id of it. Raises SandboxUnavailable where none can run, unless `allow_unsafe`.
    """
    folder = Path(workspace).resolve()
    sandbox_id = id or f"sb-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    home = Path(data_dir or tempfile.mkdtemp(prefix="agent-kernel-")).resolve()
    if provider == "daytona":
        from agent_kernel.sandbox.daytona import DaytonaSandbox

        return DaytonaSandbox(
            sandbox_id=sandbox_id,
            service=Service(daytona or Access(), patience),
            workspace=folder,
            folder=home / sandbox_id,
            network=network or NetworkPolicy(),
            env=env,
            create=create,
            told=told,
        )
    if provider != "local":
        raise SandboxUnavailable(
            f"There is no sandbox provider {provider!r}.", hint="There are local and daytona."
        )
    from agent_kernel.sandbox.local import LocalSandbox

    return LocalSandbox(
        sandbox_id=sandbox_id,
        launcher=launcher_for(tier or best_tier(allow_unsafe=allow_unsafe)),
        workspace=folder,
        folder=home / sandbox_id,
        python=python,
        limits=limits or Limits(),
        network=network or NetworkPolicy(),
        env=env,
    )


def best_tier(*, allow_unsafe: bool = False) -> Tier:
    """The strongest tier that can run here."""
    if allow_unsafe:
        return "none"
    reports = probe()
    for report in reports:
        if report.available:
            return report.tier
    why = "; ".join(f"{report.tier}: {report.reason}" for report in reports)
    raise SandboxUnavailable(
        f"No sandbox can run here ({why}).", hint="To work without one, say --sandbox none."
    )
