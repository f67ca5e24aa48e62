"""`agent-kernel runs`: look at runs and save their transcripts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from agent_kernel.cli.base import COUNT, line, when, with_account, write_utf8
from agent_kernel.events import Event


@click.group()
def runs() -> None:
    """Look at runs and save their transcripts."""


@runs.command("list")
@click.option("--limit", default=20, show_default=True, type=COUNT, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One run a line, for programs.")
def list_runs(limit: int, as_json: bool) -> None:
    """The newest runs."""
    for row in with_account(lambda account: account.list_runs(limit=limit)):
        if as_json:
            print(json.dumps({"id": row.id, "status": row.status, "created_ms": row.created_ms,
                              "model": row.model, "prompt": row.prompt}))  # fmt: skip
        else:
            print(f"{row.id}  {row.status:<9}  {when(row.created_ms)}  {line(row.prompt, 70)}")


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Its events, one a line.")
def show(run_id: str, as_json: bool) -> None:
    """What happened in run ID."""
    events = _events(run_id)
    if as_json:
        write_utf8()
        for event in events:
            print(event.model_dump_json())
        return
    from agent_kernel.transcript import bundle

    print(bundle(events)["text/plain"])


@runs.command()
@click.argument("run_id", metavar="ID")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--clean", is_flag=True, help="A notebook of the Python that led to the result, and nothing else."
)
def export(run_id: str, path: Path, clean: bool) -> None:
    """Save the transcript of run ID to PATH (.ipynb, .html or .md)."""
    from agent_kernel.transcript import save
    from agent_kernel.transcript.files import save_notebook

    if clean:
        print(save_notebook(path, with_account(lambda account: account.clean_notebook(run_id))))
        return

    print(save(_events(run_id), path))


def _events(run_id: str) -> list[Event]:
    return with_account(lambda account: account.read(run_id))
