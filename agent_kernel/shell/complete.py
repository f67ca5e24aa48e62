"""Completions in prompts and after `%agent`: options and their values, slash commands, `@files` and
`@variables`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_kernel.shell.summary import can_be_named, is_frame

MOST_FILES = 50
_MAGIC = re.compile(r"\s*(?:[\w.]+\s*=\s*)?%{1,2}agent\b")
_COMMAND = re.compile(r"\s*%{1,2}agent\s+(?:--\S+\s+)*/([a-z]*)$")
_OPTION = re.compile(r"(?:^|\s)(--[a-z-]*)$")
_VALUE = re.compile(r"(?:^|\s)(--[a-z-]+)(?:=|\s+)([^\s-]?[^\s=]*)$")
_SLASH = re.compile(r"\s*/([a-z]*)$")
_FILE = re.compile(r"""(?:^|[\s([{'"])@([\w./~-]*)$""")


def matcher(context: Any) -> Any:
    """An IPython matcher: quiet outside of agent cells."""
    found = completions(context.full_text, context.text_until_cursor, variables=variables_of(_namespace()))
    if found is None:
        return {"completions": []}
    fragment, words, kind = found
    from IPython.core.completer import SimpleCompletion

    return {
        "completions": [SimpleCompletion(word, type=kind) for word in words],
        "matched_fragment": fragment,
        "suppress": bool(words),
        "ordered": True,
    }


matcher.matcher_api_version = 2  # type: ignore[attr-defined]
matcher.matcher_priority = 1000  # type: ignore[attr-defined]
matcher.matcher_identifier = "agent_kernel"  # type: ignore[attr-defined]


def variables_of(namespace: Mapping[str, Any]) -> list[str]:
    """Names of the variables there that `@` can name, DataFrames first."""
    found = [(not is_frame(value), name) for name, value in namespace.items() if can_be_named(name, value)]
    return [name for _, name in sorted(found)]


def _namespace() -> Mapping[str, Any]:
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return {} if shell is None else dict(shell.user_ns)


def completions(
    cell: str, line: str, folder: Path | None = None, variables: Sequence[str] = ()
) -> tuple[str, list[str], str] | None:
    """What is being typed at the end of `line` (the text up to the cursor), the words it may become, and
    what they are; None where the cell is not for the agent."""
    first = cell.lstrip().split("\n", 1)[0]
    on_magic = _MAGIC.match(line) is not None
    if not on_magic and not first.startswith("%%agent"):
        return None
    if match := _FILE.search(line):
        return match[1], _named(folder, match[1], variables), "path"
    if not on_magic:
        return None
    if match := _COMMAND.search(line):
        return _commands(match[1])
    from agent_kernel.shell.options import OPTIONS

    if match := _OPTION.search(line):
        return match[1], [name for name in OPTIONS if name.startswith(match[1])], "option"
    if (match := _VALUE.search(line)) and (known := _values(match[1])):
        return match[2], [word for word in known if word.startswith(match[2])], "value"
    return None


def in_prompt(
    text: str, folder: Path | None = None, variables: Sequence[str] = ()
) -> tuple[str, list[str], str]:
    """The same for a cell that is a prompt; `text` is all of it up to the cursor."""
    if match := _SLASH.fullmatch(text):
        return _commands(match[1])
    if match := _FILE.search(text.rpartition("\n")[2]):
        return match[1], _named(folder, match[1], variables), "path"
    return "", [], ""


def _named(folder: Path | None, typed: str, variables: Sequence[str]) -> list[str]:
    """What `@` may name: variables, then files."""
    return [*(name for name in variables if name.startswith(typed)), *_files(folder or Path.cwd(), typed)]


def _commands(typed: str) -> tuple[str, list[str], str]:
    from agent_kernel.shell.slash import COMMANDS

    return f"/{typed}", [f"/{name}" for name in COMMANDS if name.startswith(typed)], "command"


def _values(option: str) -> tuple[str, ...]:
    from agent_kernel.shell.options import OPTIONS

    if option == "--model":
        from agent_kernel.settings import DEFAULT_MODEL, DEMO_MODEL
        from agent_kernel.usage import WINDOWS

        return tuple(dict.fromkeys((DEMO_MODEL, DEFAULT_MODEL, *WINDOWS)))
    if option == "--agent":
        return _definitions()
    return OPTIONS[option].choices if option in OPTIONS else ()


def _definitions() -> tuple[str, ...]:
    """Names only: whether one is trusted is said when it is used."""
    from agent_kernel.definitions import ENDINGS, PLACE

    folders = (Path.cwd() / PLACE, Path.home() / PLACE)
    return tuple(
        sorted({path.stem for folder in folders for path in folder.glob("*") if path.suffix in ENDINGS})
    )


def _files(folder: Path, typed: str) -> list[str]:
    """Entries of one folder of the workspace; hidden ones only when asked for."""
    head, slash, start = typed.rpartition("/")
    place = (folder / head).resolve()
    if not place.is_relative_to(folder.resolve()):
        return []
    try:
        with os.scandir(place) as entries:
            names = [f"{e.name}/" if e.is_dir() else e.name for e in entries if e.name.startswith(start)]
    except OSError:
        return []
    names = [name for name in names if start.startswith(".") or not name.startswith(".")]
    return [f"{head}{slash}{name}" for name in sorted(names)[:MOST_FILES]]
