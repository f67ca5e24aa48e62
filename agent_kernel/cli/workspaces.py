"""`agent-kernel workspaces`: where sessions work, and what becomes of their sandboxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent_kernel.cli.base import COUNT, line, when, with_account
from agent_kernel.errors import RunError

if TYPE_CHECKING:
    from agent_kernel.account import Account
    from agent_kernel.workspaces import Workspace, Workspaces


@click.group()
def workspaces() -> None:
    """Folders of your sessions and their sandboxes: look, stop, archive, delete, export, make new ones."""


@workspaces.command("list")
@click.option("--limit", default=20, show_default=True, type=COUNT, help="How many, those used last first.")
def list_workspaces(limit: int) -> None:
    """Your workspaces."""
    for found in with_account(lambda account: _of(account).list(limit)):
        session = found.session
        # whether a local one runs is known to the program that has it
        state = f"daytona {found.state}" if found.provider == "daytona" else found.provider
        click.echo(f"{session.id}  {when(session.updated_ms)}  {state:<16}  {line(session.workspace)}")


@workspaces.command("show")
@click.argument("session")
def show(session: str) -> None:
    """One workspace, and what it takes on disk."""
    found: Workspace = with_account(lambda account: _of(account).show(session))
    click.echo(f"session   {found.session.id}  {line(found.session.name)}")
    click.echo(f"folder    {line(found.session.workspace)}  {_size(found.folder_bytes)}")
    state = f"daytona, {found.state}" if found.provider == "daytona" else found.provider
    click.echo(f"sandbox   {state}  {_size(found.sandbox_bytes)} beside the folder")


@workspaces.command("start")
@click.argument("session")
def start(session: str) -> None:
    """Start its sandbox at Daytona. A local one lives in the program that uses it, and starts by itself."""

    async def start(account: Account) -> None:
        await _remote(account, session)
        sandbox = await account.app.places.sandbox_for(await account.get_session(session))
        await sandbox.start()
        await sandbox.leave()

    with_account(start)
    click.echo("It runs.")


@workspaces.command("stop")
@click.argument("session")
def stop(session: str) -> None:
    """Bring home what changed in its sandbox at Daytona, and stop it."""

    async def stop(account: Account) -> None:
        await _remote(account, session)
        await _of(account).stop(session)

    with_account(stop)
    click.echo("It is stopped.")


@workspaces.command("archive")
@click.argument("session")
def archive(session: str) -> None:
    """Let go of what can be made again: caches and installed packages; at Daytona, move its disk to cold storage."""
    with_account(lambda account: _of(account).archive(session))
    click.echo("It is archived.")


@workspaces.command("delete")
@click.argument("session")
@click.option("--force", is_flag=True, help="Also when it holds the only copy of something.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(session: str, force: bool, yes: bool) -> None:
    """Delete its sandbox with packages and snapshots. Folder and conversation stay; older runs cannot be undone."""
    if not yes:
        click.confirm(f"Delete the sandbox of {session} for good?", abort=True)
    with_account(lambda account: _of(account).delete(session, force=force))
    click.echo("It is deleted.")


@workspaces.command("export")
@click.argument("session")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
def export(session: str, target: Path) -> None:
    """Write the workspace's files to TARGET (tar.gz)."""

    async def export(account: Account) -> None:
        partial = target.with_name(f".{target.name}.part")
        try:
            with partial.open("wb") as file:
                async for piece in _of(account).export(session):
                    file.write(piece)
            partial.replace(target)
        except OSError as error:
            raise RunError(f"{target} cannot be written: {error.strerror}.") from error
        finally:
            partial.unlink(missing_ok=True)

    with_account(export)
    click.echo(f"{target}  {_size(target.stat().st_size)}")


@workspaces.command("new")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--template", default="blank", show_default=True, help="What it begins with.")
@click.option("--templates", "listed", is_flag=True, help="List what there is.")
def new(folder: Path | None, template: str, listed: bool) -> None:
    """Make FOLDER from a template, with a session of its own."""
    if listed:
        from agent_kernel.settings import load_settings
        from agent_kernel.workspaces import templates

        for found in templates(load_settings().folder):
            click.echo(f"{found.name:<12}  {line(found.about)}")
        return
    if folder is None:
        raise click.UsageError("Say which FOLDER, or --templates.")
    target = folder.expanduser().absolute()
    made = with_account(lambda account: _of(account).new(target, template))
    click.echo(f"{made.id}  {line(made.workspace)}")


def _of(account: Account) -> Workspaces:
    from agent_kernel.workspaces import Workspaces

    return Workspaces(account)


async def _remote(account: Account, session_id: str) -> None:
    if (await account.get_session(session_id)).sandbox_id is None:
        raise RunError(
            "Its sandbox is local: it lives in the program that uses it.",
            hint="In the Jupyter server, the panel stops it; it starts with the first call that needs it.",
        )


def _size(found: int) -> str:
    if found < 0:
        return ""
    size, unit = float(found), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
