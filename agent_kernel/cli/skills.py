"""`agent-kernel skills`: see, write, check, trust, install and remove skills."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent_kernel.cli.base import folder, line, own_trust
from agent_kernel.errors import SkillError

if TYPE_CHECKING:
    from agent_kernel.skills import Entry, Library, Skill

CWD = click.option("--cwd", type=click.Path(path_type=Path), default=Path(), help="The workspace.")


@click.group()
def skills() -> None:
    """Instructions and scripts the agent takes up when a task calls for them."""


@skills.command("list")
@CWD
@click.option("--json", "as_json", is_flag=True, help="One skill a line, for programs.")
def list_skills(cwd: Path, as_json: bool) -> None:
    """The skills seen from a workspace, nearest first."""
    entries = _library(cwd).entries
    for entry in entries:
        if as_json:
            print(json.dumps(entry.summary()))
            continue
        wrong = [problem.text for problem in entry.skill.problems if problem.level == "error"]
        says = wrong[0] if wrong else entry.skill.description
        click.echo(f"{entry.skill.name:<28} {entry.skill.scope:<9} {entry.state:<9} {line(says, 60)}")
    if not as_json and any(entry.state == "untrusted" for entry in entries):
        click.echo(
            "\nThe agent does not see what is not trusted. Look at it, then: agent-kernel skills trust",
            err=True,
        )


@skills.command()
@click.argument("name")
@CWD
def show(name: str, cwd: Path) -> None:
    """What a skill says, which files it has, and what is wrong with it."""
    from agent_kernel.shell.textview import clean
    from agent_kernel.skills import examine
    from agent_kernel.skills.contents import contents

    entry = _library(cwd).find(name)
    skill = entry.skill
    click.echo(f"{skill.name}: {skill.description}\n")
    click.echo(f"{skill.scope}, {entry.state}, in {line(str(skill.folder), 300)}")
    for label, text in (("License", skill.license), ("Compatibility", skill.compatibility)):
        if text:
            click.echo(f"{label}: {text}")
    for key, value in skill.metadata.items():
        click.echo(f"{key}: {value}")
    for file in contents(skill.folder).files:
        click.echo(f"  {file.path} ({file.size:,} bytes)")
    for problem in examine(skill):
        click.echo(f"  {problem.level}: {line(problem.text, 300)}")
    if skill.usable:
        click.echo(f"\n{clean(skill.body())}")


@skills.command()
@click.argument("name")
@click.option("--description", help="What it does and when to use it; the model chooses by it.")
@click.option(
    "--workspace", is_flag=True, help="In the workspace, for all who work there (default: for you)."
)
@CWD
def new(name: str, description: str | None, workspace: bool, cwd: Path) -> None:
    """Begin a skill called NAME."""
    from agent_kernel.skills.own import begin
    from agent_kernel.skills.skill import slug

    if name != slug(name):
        try:
            begin(_target(workspace, cwd), name)
        except SkillError as error:
            raise click.UsageError(str(error)) from None
    place = begin(_target(workspace, cwd), name, description or "").folder
    click.echo(place / "SKILL.md")
    if workspace:
        click.echo("When it is written, have the agent use it: agent-kernel skills trust", err=True)


@skills.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Advice counts, too.")
def validate(paths: tuple[Path, ...], strict: bool) -> None:
    """Name everything that is wrong with skills, or with all skills below a folder.

    Exit status 1 when something is wrong with one.
    """
    from agent_kernel.skills import examine

    wrong = 0
    for skill in [skill for path in paths for skill in _below(path)]:
        problems = examine(skill)
        counting = [problem for problem in problems if strict or problem.level != "advice"]
        wrong += bool(counting)
        click.echo(f"{line(str(skill.folder), 200)}: {'good' if not problems else ''}".rstrip())
        for problem in problems:
            click.echo(f"  {problem.level}: {line(problem.text, 300)}")
    sys.exit(1 if wrong else 0)


@skills.command()
@click.argument("names", nargs=-1)
@CWD
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--revoke", is_flag=True, help="Trust them no longer.")
def trust(names: tuple[str, ...], cwd: Path, yes: bool, revoke: bool) -> None:
    """Let the agent use skills of a workspace as they are now (default: all of them).

    A skill that changes has to be trusted again.
    """
    from agent_kernel.skills.contents import pack

    chosen = _in_workspace(names, cwd, "on" if revoke else "untrusted")
    if not chosen:
        click.echo("There is nothing to trust." if not revoke else "There is nothing that is trusted.")
        return
    kept = own_trust()
    if kept.within(folder(cwd)):
        raise SkillError(
            f"Trust would be kept in {kept.folder}, which lies in the workspace: the agent could write it.",
            hint="Set AGENT_KERNEL_DATA_DIR to a folder elsewhere.",
        )
    for entry in chosen:
        skill, packed = entry.skill, pack(entry.skill.folder)
        click.echo(f"{skill.name}: {line(skill.description, 200)}\n  in {line(str(skill.folder), 200)}")
        for file, data in packed.files:
            click.echo(f"  {file.path} ({len(data):,} bytes{', a program' if file.executable else ''})")
        if revoke:
            kept.remove(packed.digest)
        elif yes or click.confirm("Have you read it, and shall the agent follow it?"):
            kept.add(packed.digest, skill.name, skill.folder)
            click.echo("  trusted")


@skills.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--workspace", is_flag=True, help="In the workspace (default: for you, everywhere).")
@click.option("--replace", is_flag=True, help="Replace skills of the same name.")
@CWD
def install(source: Path, workspace: bool, replace: bool, cwd: Path) -> None:
    """Install the skills in SOURCE, a folder or a ZIP file."""
    from agent_kernel.skills import examine
    from agent_kernel.skills.contents import pack
    from agent_kernel.skills.install import install as put

    for skill in put(source.expanduser(), _target(workspace, cwd), replace=replace):
        click.echo(f"{skill.name}: {line(str(skill.folder), 200)}")
        for problem in examine(skill):
            click.echo(f"  {problem.level}: {line(problem.text, 300)}")
        if workspace:  # whoever installs it has chosen it
            own_trust().add(pack(skill.folder).digest, skill.name, skill.folder)


@skills.command()
@click.argument("name")
@CWD
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, cwd: Path, yes: bool) -> None:
    """Delete a skill of yours or of the workspace."""
    from agent_kernel.skills.install import remove as delete

    found = [e.skill for e in _library(cwd).entries if e.skill.name == name and e.skill.scope != "bundled"]
    if not found:
        _library(cwd).find(name)
        raise SkillError(
            f"{name} belongs to agent-kernel.", hint=f"In a session, `/skills off {name}` leaves it out."
        )
    if not yes:
        click.confirm(f"Delete {found[0].folder} for good?", abort=True)
    delete(found[0])
    click.echo(f"Deleted {found[0].folder}.")


def _library(cwd: Path) -> Library:
    from agent_kernel.skills import open_library

    return open_library(folder(cwd), own_trust())


def _target(workspace: bool, cwd: Path) -> Path:
    from agent_kernel.skills.library import PLACES

    return (folder(cwd) if workspace else Path.home()) / PLACES[0]


def _in_workspace(names: tuple[str, ...], cwd: Path, state: str) -> list[Entry]:
    """Skills of the workspace in this state; those named must be there."""
    library = _library(cwd)
    for name in names:
        library.find(name)
    return [
        entry
        for entry in library.entries
        if entry.skill.scope == "workspace"
        and entry.state == state
        and (not names or entry.skill.name in names)
    ]


def _below(path: Path) -> list[Skill]:
    from agent_kernel.skills import read_skill
    from agent_kernel.skills.library import skills_in
    from agent_kernel.skills.skill import is_skill

    if path.name.lower() == "skill.md":
        path = path.parent
    if not path.is_dir():
        raise SkillError(f"{path} is not a folder.")
    found = [] if is_skill(path) else [skill for skill in skills_in(path.resolve()) if is_skill(skill.folder)]
    return found or [read_skill(path.resolve())]
