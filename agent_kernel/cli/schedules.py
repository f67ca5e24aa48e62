"""`agent-kernel schedules`: prompts that start by the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent_kernel.cli.base import folder, line, with_account
from agent_kernel.settings import PERMISSIONS


@click.group()
def schedules() -> None:
    """Prompts that start by the clock, wherever a worker or a Jupyter server runs."""


@schedules.command("add")
@click.argument("name")
@click.argument("when")
@click.argument("prompt")
@click.option("--cwd", type=click.Path(path_type=Path), default=Path(), help="The folder to work in.")
@click.option("--timezone", default="UTC", show_default=True, help="Whose clock, such as Europe/Berlin.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue"]),
    default="skip",
    show_default=True,
    help="While the last run still works: leave a time out, or start one more.",
)
@click.option(
    "--missed",
    type=click.Choice(["skip", "once"]),
    default="skip",
    show_default=True,
    help="For times at which nothing ran: nothing, or one run for all of them.",
)
@click.option("--model", help="A model's name.")
@click.option("--permission", type=click.Choice(PERMISSIONS), help="What may be done without asking.")
@click.option("--budget", type=float, help="Pause when this many USD are spent.")
def add_schedule(name: str, when: str, prompt: str, cwd: Path, **options: Any) -> None:
    """Start PROMPT at WHEN: hourly, daily, weekly, or five fields of cron ('0 9 * * MON-FRI')."""
    workspace = folder(cwd)
    clock = {key: options.pop(key) for key in ("timezone", "overlap", "missed")}
    settings = {key: value for key, value in options.items() if value is not None}
    with_account(
        lambda account: account.add_schedule(name, when, prompt, workspace, settings=settings, **clock)
    )
    _show_schedules(name)


@schedules.command("list")
def list_schedules() -> None:
    """Their next times, and what came of the last."""
    _show_schedules()


def _show_schedules(only: str = "") -> None:
    for planned in with_account(lambda account: account.list_schedules()):
        schedule = planned.schedule
        if only in ("", schedule.name):
            times = ", ".join(time.strftime("%a %d %b %H:%M") for time in planned.next) or "paused"
            click.echo(f"{line(schedule.name)}: {schedule.cron} {schedule.timezone}; next {times}")
            click.echo(
                f"    {line(schedule.prompt)}" + (f"; last: {line(planned.last)}" if planned.last else "")
            )


def _changing(action: str, says: str) -> None:
    @schedules.command(action, help=says)
    @click.argument("name")
    def change(name: str) -> None:
        with_account(lambda account: account.change_schedule(name, action))


_changing("pause", "Start nothing until it is resumed.")
_changing("resume", "Start again at its times.")
_changing("delete", "Forget it; its runs stay.")
