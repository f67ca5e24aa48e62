"""`agent-kernel agents`: see, write, check and trust agent definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent_kernel.cli.base import folder, line, own_trust
from agent_kernel.errors import SettingsError

if TYPE_CHECKING:
    from agent_kernel.definitions import Found

CWD = click.option("--cwd", type=click.Path(path_type=Path), default=Path(), help="The workspace.")
_TEMPLATE = """\
description: {description}
# Everything below is optional; what is left out is as without a definition.
prompt: |
  Say here what this agent is for, how it works, and what it leaves behind.
# model: claude-haiku-5-5
# tools: [read_file, list_files, search_files, python, "mcp__github__*"]
# skills: [data-analysis]
# mcp_servers: [github]
# permission: ask        # limits only tighten
# budget: 0.50
# max_turns: 40
"""


@click.group()
def agents() -> None:
    """What `--agent NAME` can name: YAML files of the project and of your own."""


@agents.command("list")
@CWD
@click.option("--json", "as_json", is_flag=True, help="One definition a line, for programs.")
def list_agents(cwd: Path, as_json: bool) -> None:
    """The agent definitions seen from a workspace, nearest first."""
    found = _found(cwd)
    for one in found:
        if as_json:
            print(json.dumps(one.summary()))
            continue
        says = one.definition.description if one.definition else one.problem
        click.echo(f"{line(one.name, 28):<28} {one.scope:<9} {one.state:<9} {line(says, 80)}")
    if not found and not as_json:
        click.echo("There is none. Begin one: agent-kernel agents new NAME", err=True)
    if not as_json and any(one.state == "untrusted" for one in found):
        click.echo("\nWhat is not trusted is not used. Read it, then: agent-kernel agents trust", err=True)


@agents.command()
@click.argument("name")
@CWD
def show(name: str, cwd: Path) -> None:
    """What a definition says, and what is wrong with it."""
    from agent_kernel.shell.textview import clean

    one = _named(name, cwd)
    click.echo(f"{one.name}: {one.scope}, {one.state}, in {line(str(one.path), 300)}")
    if one.problem:
        click.echo(f"  error: {line(one.problem, 300)}")
    for unknown in _unknown(one):
        click.echo(f"  warning: no tool of agent-kernel is called {line(unknown, 100)}")
    click.echo(f"\n{clean(one.text)}")


@agents.command()
@click.argument("name")
@click.option("--description", default="What it does and when to choose it.", help="For people who choose.")
@click.option("--workspace", is_flag=True, help="In the workspace, for all who work there (default: yours).")
@CWD
def new(name: str, description: str, workspace: bool, cwd: Path) -> None:
    """Begin a definition called NAME."""
    from agent_kernel.definitions import NAME, PLACE

    if not NAME.fullmatch(name) or len(name) > 64:
        raise click.UsageError(f"{name[:80]!r} is no name: small letters, digits and hyphens, at most 64.")
    path = (folder(cwd) if workspace else Path.home()) / PLACE / f"{name}.yaml"
    text = _TEMPLATE.format(description=json.dumps(" ".join(description.split()), ensure_ascii=False))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(f"{path} is there already.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}.") from None
    click.echo(path)
    if workspace:
        click.echo(f"When it is written, have it used: agent-kernel agents trust {name}", err=True)


@agents.command()
@click.argument("names", nargs=-1)
@CWD
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--revoke", is_flag=True, help="Trust them no longer.")
def trust(names: tuple[str, ...], cwd: Path, yes: bool, revoke: bool) -> None:
    """Let runs work as definitions of a workspace as they are now (default: all of them).

    One that changes has to be trusted again.
    """
    from agent_kernel.shell.textview import clean

    for name in names:
        _named(name, cwd)
    wanted = ("on", "shadowed") if revoke else ("untrusted",)
    chosen = [
        one
        for one in _found(cwd)
        if one.scope == "workspace" and one.state in wanted and (not names or one.name in names)
    ]
    if not chosen:
        click.echo("There is nothing that is trusted." if revoke else "There is nothing to trust.")
        return
    kept = own_trust()
    if kept.within(folder(cwd)):
        raise SettingsError(
            f"Trust would be kept in {kept.folder}, which lies in the workspace: the agent could write it.",
            hint="Set AGENT_KERNEL_DATA_DIR to a folder elsewhere.",
        )
    for one in chosen:
        click.echo(f"{one.name}, in {line(str(one.path), 300)}\n{clean(one.text)}")
        if revoke:
            kept.remove(one.digest)
        elif yes or click.confirm("Have you read it, and shall agents follow it?"):
            kept.add(one.digest, one.name, one.path)
            click.echo("  trusted")


def _found(cwd: Path) -> list[Found]:
    from agent_kernel.definitions import find_definitions

    return find_definitions(folder(cwd), own_trust())


def _named(name: str, cwd: Path) -> Found:
    found = _found(cwd)
    one = next((one for one in found if one.name == name), None)
    if one is None:
        known = ", ".join(dict.fromkeys(one.name for one in found))
        raise SettingsError(
            f"There is no agent definition {name[:80]!r}.", hint=f"There is: {known}." if known else ""
        )
    return one


def _unknown(one: Found) -> list[str]:
    """Entries of `tools` that fit no tool of our own; those of MCP servers cannot be known here."""
    from fnmatch import fnmatchcase

    from agent_kernel.skills import open_library
    from agent_kernel.tools import builtin_tools

    said = one.definition.tools if one.definition else None
    skills = open_library(None, own_trust())
    names = [*(tool.name for tool in builtin_tools(kernel=True, skills=skills)), "web_search"]
    joined = ("mcp_", "tool_search")
    return [
        word
        for word in said or ()
        if not word.startswith(joined) and not any(fnmatchcase(name, word) for name in names)
    ]
