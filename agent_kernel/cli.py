"""The command line: `agent-kernel run | runs | sessions | schedules | worker | doctor`.

Exit status: 0 completed, 1 failed, 2 wrong usage, 3 cancelled, 4 paused by a bound (`--resume` goes on).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent_kernel._version import __version__
from agent_kernel.errors import AgentKernelError, SettingsError
from agent_kernel.settings import PERMISSIONS, SANDBOXES

if TYPE_CHECKING:
    from agent_kernel.account import Account
    from agent_kernel.client import Agent, Run
    from agent_kernel.events import ApprovalRequest, Event

EXIT = {"completed": 0, "failed": 1, "cancelled": 3, "paused": 4}
USAGE = 2
MOST_SESSIONS = 100_000
T = TypeVar("T")


class Commands(click.Group):
    """Our errors are sentences for people, not tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AgentKernelError as error:
            click.echo(f"agent-kernel: {error}", err=True)
            ctx.exit(USAGE if isinstance(error, SettingsError) else 1)
        except BrokenPipeError:  # `| head` went away
            sys.stderr.close()
            ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="agent-kernel")
def main() -> None:
    """Agents that do real work, in notebooks and from the command line."""


# -- run ---------------------------------------------------------------------------------------------


@main.command()
@click.argument("prompt", required=False)
@click.option("--json", "as_json", is_flag=True, help="One event a line, for programs.")
@click.option("--cwd", type=click.Path(path_type=Path), default=Path(), help="The folder to work in.")
@click.option("--model", help="A model's name; `demo` works offline, without AI.")
@click.option("--session", default=None, help="Go on with the conversation of this name.")
@click.option("--permission", type=click.Choice(PERMISSIONS), help="What may be done without asking.")
@click.option("--budget", type=float, help="Pause when this many USD are spent.")
@click.option("--max-turns", type=int, help="Pause after so many requests to the model.")
@click.option("--sandbox", type=click.Choice(SANDBOXES), help="Where tools act.")
@click.option("--resume", "resume_id", metavar="ID", help="Go on with a run that was interrupted.")
@click.option(
    "--detach", is_flag=True, help="Queue it for a worker or a Jupyter server, print its id, and leave."
)
def run(prompt: str | None, as_json: bool, resume_id: str | None, detach: bool, **options: Any) -> None:
    """Let the agent do PROMPT (`-` reads it from standard input)."""
    if prompt == "-":
        prompt = sys.stdin.read()
    if bool(prompt and prompt.strip()) == bool(resume_id):
        raise click.UsageError("Say what to do, or which run to --resume (one of the two).")
    if detach:
        if resume_id:
            raise click.UsageError("--detach starts a new run; --resume works on one here.")
        click.echo(asyncio.run(_detach(prompt or "", options)))
        click.echo("Queued: a Jupyter server, or `agent-kernel worker`, works on it.", err=True)
        return
    sys.exit(asyncio.run(_run(prompt or "", as_json, resume_id, options)))


async def _run(prompt: str, as_json: bool, resume_id: str | None, options: dict[str, Any]) -> int:
    agent = _agent(options, interactive=not as_json and sys.stdin.isatty() and sys.stdout.isatty())
    async with agent:
        started = await (agent.resume(resume_id) if resume_id else agent.start(prompt))
        _stop_on_interrupt(started)
        await (_print_json(started) if as_json else _print_text(started, agent))
        await started.wait()
        if started.status == "paused":
            click.echo(
                f"Paused ({started.reason}). Go on with: agent-kernel run --resume {started.id}", err=True
            )
        return EXIT.get(started.status, 1)


async def _detach(prompt: str, options: dict[str, Any]) -> str:
    """Queue the run; its id."""
    from agent_kernel.account import Account
    from agent_kernel.app import open_app
    from agent_kernel.dispatch import Dispatcher
    from agent_kernel.settings import load_settings

    name, workspace = options.pop("session"), options.pop("cwd").expanduser().resolve()
    if not workspace.is_dir():
        raise SettingsError(f"The workspace {workspace} is not a folder.", hint="Make it, or name another.")
    settings = load_settings().with_overrides("command line", **options)
    async with await open_app(settings) as app:
        dispatcher = Dispatcher(app, works=False)
        await dispatcher.start()
        try:
            account = Account(app)
            session = await account.session(name or "cli", workspace, new=name is None)
            run = await account.submit(
                session, prompt, settings, interactive=False, hosted=True, transcript=True
            )
        finally:
            await dispatcher.close()
    return run.id


def _agent(options: dict[str, Any], *, interactive: bool) -> Agent:
    from agent_kernel.client import Agent

    session = options.pop("session")
    return Agent(
        workspace=options.pop("cwd"),
        session=session or "cli",
        new=session is None,
        interactive=interactive,
        **options,
    )


def _stop_on_interrupt(run: Run) -> None:
    """The first Ctrl-C stops the run in good order, the second one the program."""
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        stopping.append(loop.create_task(run.stop()))
        loop.remove_signal_handler(signal.SIGINT)

    with suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, stop)


async def _print_json(run: Run) -> None:
    async for event in run.follow(deltas=False):
        print(event.model_dump_json(), flush=True)


async def _print_text(run: Run, agent: Agent) -> None:
    from agent_kernel.shell.textview import TextView, decision_typed, print_line

    async def ask(run: Run, request: ApprovalRequest) -> None:
        await run.answer(request.id, await asyncio.to_thread(decision_typed, request))

    view = TextView(
        print_line,
        info=agent.info(),
        ask=ask if agent.interactive else None,
        colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
    )
    view.attach(run)
    async for event in run.follow(deltas=False):
        await view.show([event])


# -- sessions ----------------------------------------------------------------------------------------


@main.group()
def sessions() -> None:
    """Conversations: what is kept of them, and how to have it forgotten."""


@sessions.command("list")
@click.option("--limit", default=20, show_default=True, help="How many, those used last first.")
def list_sessions(limit: int) -> None:
    """Your sessions."""
    for session in _with_account(lambda account: account.list_sessions(limit)):
        used = datetime.fromtimestamp(session.updated_ms / 1000).strftime("%Y-%m-%d %H:%M")
        click.echo(
            f"{session.id}  {used}  {_line(session.name)}  {_line(session.notebook or session.workspace)}"
        )


@sessions.command("delete")
@click.argument("ids", nargs=-1)
@click.option("--older-than", type=click.IntRange(0), metavar="DAYS", help="All not used for so many days.")
@click.option("--all", "everything", is_flag=True, help="All of yours.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_sessions(ids: tuple[str, ...], older_than: int | None, everything: bool, yes: bool) -> None:
    """Forget sessions: their runs, events and snapshots. Files in your folders stay."""
    if sum([bool(ids), older_than is not None, everything]) != 1:
        raise click.UsageError("Say which: their IDS, --older-than DAYS, or --all.")

    from agent_kernel.events import now_ms

    async def chosen(account: Account) -> list[str]:
        if ids:
            return [(await account.get_session(session)).id for session in ids]
        before = now_ms() + 1 if everything else now_ms() - (older_than or 0) * 86_400_000
        return [session.id for session in await account.list_sessions(MOST_SESSIONS, before)]

    found = _with_account(chosen)
    if not found:
        click.echo("There is nothing to delete.")
        return
    if not yes:
        click.confirm(f"Delete {len(found)} session{'s' * (len(found) > 1)} for good?", abort=True)

    async def delete(account: Account) -> None:
        for session in found:
            await account.delete_session(session)

    _with_account(delete)
    click.echo(f"Deleted {len(found)} session{'s' * (len(found) > 1)}.")


# -- schedules ---------------------------------------------------------------------------------------


@main.group()
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
    workspace = cwd.expanduser().resolve()
    if not workspace.is_dir():
        raise SettingsError(f"The workspace {cwd} is not a folder.", hint="Make it, or name another.")
    clock = {key: options.pop(key) for key in ("timezone", "overlap", "missed")}
    settings = {key: value for key, value in options.items() if value is not None}
    _with_account(
        lambda account: account.add_schedule(name, when, prompt, workspace, settings=settings, **clock)
    )
    _show_schedules(name)


@schedules.command("list")
def list_schedules() -> None:
    """Their next times, and what came of the last."""
    _show_schedules()


def _show_schedules(only: str = "") -> None:
    for planned in _with_account(lambda account: account.list_schedules()):
        schedule = planned.schedule
        if only in ("", schedule.name):
            times = ", ".join(time.strftime("%a %d %b %H:%M") for time in planned.next) or "paused"
            click.echo(f"{_line(schedule.name)}: {schedule.cron} {schedule.timezone}; next {times}")
            click.echo(
                f"    {_line(schedule.prompt)}" + (f"; last: {_line(planned.last)}" if planned.last else "")
            )


def _line(text: str) -> str:
    from agent_kernel.shell.textview import one_line

    return one_line(text, 100)


def _changing(action: str, says: str) -> None:
    @schedules.command(action, help=says)
    @click.argument("name")
    def change(name: str) -> None:
        _with_account(lambda account: account.change_schedule(name, action))


_changing("pause", "Start nothing until it is resumed.")
_changing("resume", "Start again at its times.")
_changing("delete", "Forget it; its runs stay.")


# -- worker ------------------------------------------------------------------------------------------


@main.command()
@click.option(
    "--at-once", type=click.IntRange(1), default=5, show_default=True, help="Runs worked on at once."
)
def worker(at_once: int) -> None:
    """Work on queued runs, on this machine, until stopped.

    Workers on several machines share the work by AGENT_KERNEL_DATABASE_URL (PostgreSQL) and show each other's
    text live by AGENT_KERNEL_REDIS_URL.
    """
    asyncio.run(_work(at_once))


async def _work(at_once: int) -> None:
    from agent_kernel.app import open_app
    from agent_kernel.dispatch import Dispatcher
    from agent_kernel.jobs.limits import Limits
    from agent_kernel.settings import load_settings

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with await open_app(load_settings()) as app:
        dispatcher = Dispatcher(app, limits=Limits(per_worker=at_once))
        await dispatcher.start()
        click.echo(f"Worker {app.worker} is ready. Stop it with Ctrl-C; what it works on goes on elsewhere.")
        try:
            await stopped.wait()
        finally:
            await dispatcher.close()


# -- runs --------------------------------------------------------------------------------------------


@main.group()
def runs() -> None:
    """Look at runs and save their transcripts."""


@runs.command("list")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One run a line, for programs.")
def list_runs(limit: int, as_json: bool) -> None:
    """The newest runs."""
    for row in _with_account(lambda account: account.list_runs(limit=limit)):
        if as_json:
            print(json.dumps({"id": row.id, "status": row.status, "created_ms": row.created_ms,
                              "model": row.model, "prompt": row.prompt}))  # fmt: skip
        else:
            first = " ".join(row.prompt.split())
            print(f"{row.id}  {row.status:<9}  {_when(row.created_ms)}  {_plain(first)[:70]}")


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Its events, one a line.")
def show(run_id: str, as_json: bool) -> None:
    """What happened in run ID."""
    events = _events(run_id)
    if as_json:
        for event in events:
            print(event.model_dump_json())
        return
    from agent_kernel.transcript import bundle

    print(bundle(events)["text/plain"])


@runs.command()
@click.argument("run_id", metavar="ID")
@click.argument("path", type=click.Path(path_type=Path))
def export(run_id: str, path: Path) -> None:
    """Save the transcript of run ID to PATH (.ipynb, .html or .md)."""
    from agent_kernel.transcript import save

    print(save(_events(run_id), path))


def _events(run_id: str) -> list[Event]:
    return _with_account(lambda account: account.read(run_id))


def _with_account(use: Callable[[Account], Coroutine[Any, Any, T]]) -> T:
    from agent_kernel.account import Account
    from agent_kernel.app import open_app
    from agent_kernel.settings import load_settings

    async def opened() -> T:
        async with await open_app(load_settings()) as app:
            return await use(Account(app))

    return asyncio.run(opened())


def _when(milliseconds: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def _plain(text: str) -> str:
    """Prompts may hold anything; a terminal must not obey them."""
    return "".join(char if char.isprintable() else " " for char in text)


# -- doctor ------------------------------------------------------------------------------------------


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> None:
    """What works on this machine, every setting, and where it came from."""
    from agent_kernel.doctor import examine, render

    report = asyncio.run(examine())
    print(json.dumps(report, indent=2) if as_json else render(report))
    sys.exit(0 if report["ok"] else 1)
