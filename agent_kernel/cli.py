"""The command line: `agent-kernel run | runs | doctor`.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent_kernel._version import __version__
from agent_kernel.errors import AgentKernelError, SettingsError
from agent_kernel.settings import PERMISSIONS, SANDBOXES

if TYPE_CHECKING:
    from agent_kernel.app import App
    from agent_kernel.client import Agent, Run
    from agent_kernel.events import ApprovalRequest, Event

EXIT = {"completed": 0, "failed": 1, "cancelled": 3, "paused": 4}
USAGE = 2
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
def run(prompt: str | None, as_json: bool, resume_id: str | None, **options: Any) -> None:
    """Let the agent do PROMPT (`-` reads it from standard input)."""
    if prompt == "-":
        prompt = sys.stdin.read()
    if bool(prompt and prompt.strip()) == bool(resume_id):
        raise click.UsageError("Say what to do, or which run to --resume (one of the two).")
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


# -- runs --------------------------------------------------------------------------------------------


@main.group()
def runs() -> None:
    """Look at runs and save their transcripts."""


@runs.command("list")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One run a line, for programs.")
def list_runs(limit: int, as_json: bool) -> None:
    """The newest runs."""
    for row in _with_app(lambda app: app.store.list_runs(owner=app.settings.owner, limit=limit)):
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
    async def read(app: App) -> list[Event]:
        run = await app.get_run(run_id)
        return await app.log.read(run.id)

    return _with_app(read)


def _with_app(use: Callable[[App], Coroutine[Any, Any, T]]) -> T:
    from agent_kernel.app import open_app
    from agent_kernel.settings import load_settings

    async def opened() -> T:
        async with await open_app(load_settings()) as app:
            return await use(app)

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
