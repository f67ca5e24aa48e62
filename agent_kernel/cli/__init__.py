"""The command line: `agent-kernel run | runs | sessions | workspaces | schedules | agents | skills | mcp | worker |
model | image | doctor`.

Exit status: 0 completed, 1 failed, 2 wrong usage, 3 cancelled, 4 paused by a bound (`--resume` goes on).
"""

from __future__ import annotations

import click

from agent_kernel._version import __version__
from agent_kernel.cli.agents import agents
from agent_kernel.cli.base import Commands
from agent_kernel.cli.doctor import doctor
from agent_kernel.cli.image import image
from agent_kernel.cli.mcp import mcp
from agent_kernel.cli.model import model
from agent_kernel.cli.run import run
from agent_kernel.cli.runs import runs
from agent_kernel.cli.schedules import schedules
from agent_kernel.cli.sessions import sessions
from agent_kernel.cli.skills import skills
from agent_kernel.cli.worker import worker
from agent_kernel.cli.workspaces import workspaces


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="agent-kernel")
def main() -> None:
    """Agents that do real work, in notebooks and from the command line."""


for command in (
    run,
    runs,
    sessions,
    workspaces,
    schedules,
    agents,
    skills,
    mcp,
    worker,
    model,
    image,
    doctor,
):
    main.add_command(command)
