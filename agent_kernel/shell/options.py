"""`%agent [options] PROMPT`, read without touching the prompt: apostrophes and backslashes stay."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent_kernel.errors import SettingsError

HELP = """\
%agent [options] PROMPT      one line
%%agent [options]            the prompt is the cell
%agent /COMMAND              /help lists the commands

In a prompt, {expression} inserts a summary of a Python value and @path a file of the workspace.
"""


class UsageError(SettingsError):
    """What was typed after `%agent` cannot be understood."""


@dataclass(slots=True)
class Options:
    """What a cell asks for. None means: as the session has it."""

    model: str | None = None
    session: str = "main"
    new: bool = False
    permission: str | None = None
    budget: float | None = None
    max_turns: int | None = None
    sandbox: str | None = None
    background: bool = False
    agent: str | None = None
    help: bool = False

    def overrides(self) -> dict[str, Any]:
        """The settings for this run alone."""
        names = ("model", "permission", "budget", "max_turns", "sandbox", "agent")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: what it takes (empty for a switch), what it does, which words are known."""

    takes: str
    says: str
    choices: tuple[str, ...] = ()
    read: Callable[[str], Any] = str
    example: str = "NAME"


OPTIONS = {
    "--model": Option("NAME", "the model; `demo` works offline", ("demo",)),
    "--session": Option("NAME", "the conversation to go on with (default: main)"),
    "--new": Option("", "begin a new conversation"),
    "--permission": Option("MODE", "what may happen unasked", ("plan", "ask", "accept-edits", "bypass")),
    "--budget": Option("USD", "pause when this much is spent", read=float, example="0.50"),
    "--max-turns": Option("N", "pause after so many turns", read=int, example="10"),
    "--sandbox": Option("TIER", "where tools run", ("local", "daytona", "none")),
    "--background": Option("", "the cell returns at once, the view goes on"),
    "--agent": Option("NAME", "an agent definition of the project"),
    "--help": Option("", "this text"),
}

_WORD = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S+))""")


def usage() -> str:
    """The help text of the magic."""
    rows = (
        f"  {' '.join(filter(None, (name, option.takes))):<20} {option.says}"
        + (f": {', '.join(option.choices)}" if len(option.choices) > 1 else "")
        for name, option in OPTIONS.items()
    )
    return HELP + "\n" + "\n".join(rows)


def parse(line: str) -> tuple[Options, str]:
    """Options at the beginning of `line`, and the untouched rest. `--` ends the options.

    Raises UsageError with what was wrong and what is known.
    """
    options, rest = Options(), line.lstrip()
    while rest.startswith("-"):
        word, _, after = rest.partition(" ")
        if word == "--":
            return options, after.strip()
        name, has_value, value = word.partition("=")
        if name == "-h":
            name = "--help"
        if name not in OPTIONS:
            if not name.startswith("--"):
                break  # a prompt may begin with a dash
            raise UsageError(f"{name} is not an option of %agent.", hint=_meant(name))
        option = OPTIONS[name]
        if not option.takes:
            if has_value:
                raise UsageError(f"{name} takes no value.")
            setattr(options, _field(name), True)
            rest = after.lstrip()
            continue
        text = rest[len(name) + 1 :]
        found = _WORD.match(text) if not has_value or value else None
        if found is None or (not has_value and found[3] in OPTIONS):
            raise UsageError(f"{name} needs a value.", hint=f"For example: {name} {_example(option)}.")
        setattr(options, _field(name), _read(name, option, found[1] or found[2] or found[3] or ""))
        rest = text[found.end() :].lstrip()
    return options, rest.strip()


def _field(name: str) -> str:
    return name[2:].replace("-", "_")


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, OPTIONS, 1)
    return f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(OPTIONS)}."


def _example(option: Option) -> str:
    return option.choices[0] if option.choices else option.example


def _read(name: str, option: Option, text: str) -> Any:
    try:
        value = option.read(text)
    except ValueError:
        raise UsageError(f"{name} {text!r} is not a number.", hint=f"For example: {name} {_example(option)}.")  # noqa: B904
    if option.read is not str and not 0 <= value < float("inf"):
        raise UsageError(f"{name} {text} is not possible.", hint="Give a number of zero or more.")
    if len(option.choices) > 1 and value not in option.choices:
        raise UsageError(f"{name} {text!r} is not one of {', '.join(option.choices)}.")
    if not value and option.read is str:
        raise UsageError(f"{name} needs a value.")
    return value
