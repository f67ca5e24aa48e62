"""What the commands share: errors as sentences, an account of the store, text that a terminal cannot obey."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent_kernel.errors import AgentKernelError, SettingsError
from agent_kernel.settings import resolved

if TYPE_CHECKING:
    from agent_kernel.account import Account
    from agent_kernel.skills import Trust

USAGE = 2
COUNT = click.IntRange(0, 1_000_000)
"""How many rows of a list."""
T = TypeVar("T")


class Commands(click.Group):
    """Our errors are sentences for people, not tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        _open_streams()
        for stream in (sys.stdout, sys.stderr):  # of a locale that has not all characters
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except AgentKernelError as error:
            click.echo(f"agent-kernel: {error}", err=True)
            ctx.exit(USAGE if isinstance(error, SettingsError) else 1)
        except BrokenPipeError:  # `| head` went away
            sys.stderr.close()
            ctx.exit(1)
        except OSError as error:  # a file that was named, a port, a disk that output goes to
            what = f": {error.filename}" if error.filename else ""
            click.echo(f"agent-kernel: {error.strerror or error}{what}.", err=True)
            ctx.exit(1)


def _open_streams() -> None:
    """Started with one of the three closed, the next file that is opened would take its number, and be written to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for as long as the program runs


def write_utf8() -> None:
    """From now on, whatever the locale: JSON is UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def with_account(use: Callable[[Account], Coroutine[Any, Any, T]]) -> T:
    from agent_kernel.account import Account
    from agent_kernel.app import open_app
    from agent_kernel.settings import load_settings

    async def opened() -> T:
        async with await open_app(load_settings()) as app:
            return await use(Account(app))

    return asyncio.run(opened())


def folder(path: Path) -> Path:
    """The workspace a command was given; SettingsError when it is none."""
    found = resolved(path)
    if not os.path.isdir(found):
        raise SettingsError(f"The workspace {path} is not a folder.", hint="Make it, or name another.")
    return found


def own_trust() -> Trust:
    """What the person of this machine has said yes to."""
    from agent_kernel.settings import load_settings
    from agent_kernel.skills import Trust

    settings = load_settings()
    return Trust(settings.folder, settings.owner)


def line(text: str, length: int = 100) -> str:
    from agent_kernel.shell.textview import one_line

    return one_line(text, length)


def when(milliseconds: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
