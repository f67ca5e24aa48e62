"""`agent-kernel sessions`: what is kept, and how to have it forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent_kernel.cli.base import COUNT, line, when, with_account

if TYPE_CHECKING:
    from agent_kernel.account import Account

MOST_SESSIONS = 100_000


@click.group()
def sessions() -> None:
    """Conversations: what is kept of them, and how to have it forgotten."""


@sessions.command("list")
@click.option("--limit", default=20, show_default=True, type=COUNT, help="How many, those used last first.")
def list_sessions(limit: int) -> None:
    """Your sessions."""
    for session in with_account(lambda account: account.list_sessions(limit)):
        used = when(session.updated_ms)
        click.echo(
            f"{session.id}  {used}  {line(session.name)}  {line(session.notebook or session.workspace)}"
        )


@sessions.command("delete")
@click.argument("ids", nargs=-1)
@click.option("--older-than", type=click.IntRange(0), metavar="DAYS", help="All not used for so many days.")
@click.option("--all", "everything", is_flag=True, help="All of yours.")
@click.option("--force", is_flag=True, help="Also where a sandbox holds the only copy of something.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_sessions(
    ids: tuple[str, ...], older_than: int | None, everything: bool, force: bool, yes: bool
) -> None:
    """Forget sessions: their runs, events and snapshots. Files in your folders stay."""
    if sum([bool(ids), older_than is not None, everything]) != 1:
        raise click.UsageError("Say which: their IDS, --older-than DAYS, or --all.")

    from agent_kernel.events import now_ms

    async def chosen(account: Account) -> list[str]:
        if ids:
            return [(await account.get_session(session)).id for session in ids]
        before = now_ms() + 1 if everything else now_ms() - (older_than or 0) * 86_400_000
        return [session.id for session in await account.list_sessions(MOST_SESSIONS, before)]

    found = with_account(chosen)
    if not found:
        click.echo("There is nothing to delete.")
        return
    if not yes:
        click.confirm(f"Delete {len(found)} session{'s' * (len(found) > 1)} for good?", abort=True)

    async def delete(account: Account) -> None:
        for session in found:
            await account.delete_session(session, force=force)

    with_account(delete)
    click.echo(f"Deleted {len(found)} session{'s' * (len(found) > 1)}.")
