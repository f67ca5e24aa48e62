"""`agent-kernel model`: the model you set up for yourself."""

from __future__ import annotations

import sys
from typing import Any

import click

from agent_kernel.cli.base import with_account


@click.group()
def model() -> None:
    """How your model is reached. The environment and Jupyter's configuration come first."""


@model.command("set")
@click.option("--name", default="", help="The model's name; `demo` works offline, without AI.")
@click.option("--endpoint", default="", help="An Anthropic-compatible endpoint, where it is not Anthropic.")
@click.option("--no-key", is_flag=True, help="The endpoint asks for no key.")
def set_model(name: str, endpoint: str, no_key: bool) -> None:
    """Ask for the key (or read a line of standard input) and keep it encrypted."""
    from agent_kernel.choice import ModelChoice

    key = "" if no_key or name.startswith("demo") else _key()
    choice = ModelChoice(model=name, base_url=endpoint, api_key=key)
    with_account(lambda account: account.app.choices.put(account.owner, choice))
    click.echo("Kept. Try it with: agent-kernel model test")


def _key() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Key (not shown)", hide_input=True)).strip()
    return sys.stdin.readline().strip()


@model.command("test")
def test_model() -> None:
    """Ask the model for one word."""

    async def ask(account: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await account.app.try_model(account.owner)
        return answer

    found = with_account(ask)
    if not found["ok"]:
        click.echo(f"agent-kernel: {found['message']} {found['hint']}".strip(), err=True)
        sys.exit(1)
    click.echo(f"{found['model']} answers.")


@model.command("forget")
def forget_model() -> None:
    """Forget your model and its key."""
    with_account(lambda account: account.app.choices.forget(account.owner))
    click.echo("Forgotten.")
