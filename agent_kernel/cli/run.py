"""`agent-kernel run`: one prompt, watched here or left to a worker."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_kernel.cli.base import folder, write_utf8
from agent_kernel.settings import PERMISSIONS, SANDBOXES

if TYPE_CHECKING:
    from agent_kernel.client import Agent, Run
    from agent_kernel.events import ApprovalRequest

EXIT = {"completed": 0, "failed": 1, "cancelled": 3, "paused": 4}


@click.command()
@click.argument("prompt", required=False)
@click.option("--json", "as_json", is_flag=True, help="One event a line, for programs.")
@click.option("--cwd", type=click.Path(path_type=Path), default=Path(), help="The folder to work in.")
@click.option("--model", help="A model's name; `demo` works offline, without AI.")
@click.option("--session", default=None, help="Go on with the conversation of this name.")
@click.option("--agent", help="Work as this agent definition; see `agent-kernel agents list`.")
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
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
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

    name, workspace = options.pop("session"), folder(options.pop("cwd"))
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
    write_utf8()
    async for event in run.follow(deltas=False):
        print(event.model_dump_json(), flush=True)


async def _print_text(run: Run, agent: Agent) -> None:
    from agent_kernel.shell.textview import TextView, decision_typed, print_line

    async def ask(run: Run, request: ApprovalRequest) -> None:
        typed, ended = _typed(lambda: decision_typed(request)), asyncio.ensure_future(run.wait())
        either: set[asyncio.Future[Any]] = {typed, ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if typed.done():
            await run.answer(request.id, typed.result())
        ended.cancel()

    view = TextView(
        print_line,
        info=agent.info(),
        ask=ask if agent.interactive else None,
        colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
    )
    view.attach(run)
    async for event in run.follow(deltas=False):
        await view.show([event])


def _typed(read: Callable[[], str]) -> asyncio.Future[str]:
    """What a person types. Nobody waits for the thread that reads: after Ctrl-C, Enter may never come."""
    answer: Future[str] = Future()
    answer.set_running_or_notify_cancel()  # who gives up waiting does not end the reading

    def reading() -> None:
        try:
            answer.set_result(read())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=reading, daemon=True).start()
    return asyncio.wrap_future(answer)
