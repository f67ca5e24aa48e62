"""Records as the routes show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_kernel.account import Account
    from agent_kernel.runs.records import RunRow


async def shown_runs(account: Account, runs: Sequence[RunRow]) -> list[dict[str, Any]]:
    """The runs with what each has `used` so far (None before its first turn)."""
    used = await account.used_by(runs) if runs else {}
    return [{**asdict(run), "used": asdict(used[run.id]) if run.id in used else None} for run in runs]


async def shown_run(account: Account, run: RunRow) -> dict[str, Any]:
    (shown,) = await shown_runs(account, [run])
    return shown
