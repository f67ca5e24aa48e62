"""`agent-kernel image`: the sandbox's image, built here or registered at Daytona."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import click

from agent_kernel.errors import SandboxError

NAME = "agent-kernel"


@click.group()
def image() -> None:
    """The image of remote sandboxes: Python, Node, data science, a browser, a desktop."""


@image.command("show")
@click.option("--self-contained", is_flag=True, help="With the files it copies inside it.")
def show(self_contained: bool) -> None:
    """Print the Dockerfile, to change it or to build it elsewhere."""
    from agent_kernel.sandbox import image as images

    folder = images.recipe()
    whole = images.self_contained(folder) if self_contained else (folder / "Dockerfile").read_text()
    click.echo(whole, nl=False)


@image.command("build")
@click.option("--tag", default=f"{NAME}-sandbox", show_default=True, help="The image's name.")
def build(tag: str) -> None:
    """Build it with this machine's Docker (or podman)."""
    from agent_kernel.sandbox.image import recipe

    program = shutil.which("docker") or shutil.which("podman")
    if program is None:
        raise SandboxError(
            "Neither docker nor podman is installed.",
            hint="Install one, or let Daytona build it: agent-kernel image register",
        )
    done = subprocess.run([program, "build", "--tag", tag, str(recipe())], check=False)
    if done.returncode:
        raise SandboxError(f"{Path(program).name} could not build it (exit code {done.returncode}).")
    click.echo(f"Built {tag}.")


@image.command("register")
@click.option("--name", default=NAME, show_default=True, help="The snapshot's name.")
@click.option("--cpu", default=2, show_default=True, type=click.IntRange(1))
@click.option("--memory", default=4, show_default=True, type=click.IntRange(1), help="GiB.")
@click.option("--disk", default=10, show_default=True, type=click.IntRange(1), help="GiB.")
@click.option("--image", "reference", help="An image in a registry, instead of building ours.")
def register(name: str, cpu: int, memory: int, disk: int, reference: str | None) -> None:
    """Make it a snapshot at Daytona, which builds it (about ten minutes)."""
    from agent_kernel.places import daytona_access
    from agent_kernel.sandbox.daytona_api import Service
    from agent_kernel.sandbox.image import recipe, self_contained
    from agent_kernel.settings import load_settings

    async def made() -> bool:
        service = Service(daytona_access(load_settings()))
        try:
            dockerfile = "" if reference else self_contained(recipe())
            return await service.make_snapshot(
                name, reference or "", dockerfile=dockerfile, size=(cpu, memory, disk), told=click.echo
            )
        finally:
            await service.close()

    if asyncio.run(made()):
        click.echo(f"Registered {name}. Use it with AGENT_KERNEL_DAYTONA_SNAPSHOT={name}")
    else:
        click.echo(f"There is a snapshot {name} already. Delete it at Daytona, or give another --name.")
