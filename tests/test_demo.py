"""The offline demo on files it has never seen: true figures, a fitting chart, honest ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_kernel.client import Agent
from agent_kernel.events import Context, ToolCall
from agent_kernel.settings import Settings

NewAgent = Callable[..., Agent]


@pytest.fixture
def agent(new_agent: NewAgent, tmp_path: Path) -> Agent:
    return new_agent(settings=Settings(model="demo", data_dir=str(tmp_path / "data"), demo_delay=0))


CASES: dict[str, tuple[bytes, int, int, str]] = {
    "dates": (
        b"day,sold\n" + b"".join(b"2024-01-%02d,%d\n" % (n, n * n) for n in range(1, 29)),
        28,
        2,
        "sold per",
    ),
    "groups": (b"city;temp\nOslo;3\nRome;17\nOslo;5\nRome;19\n", 4, 2, "temp by city"),
    "numbers": (b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * 3) for n in range(50)), 50, 2, "Spread of a"),
    "words": (b"name\tkind\nx\ta\ny\tb\nz\ta\n", 3, 2, "Most common in"),
    "latin": ("stadt,wert\nKöln,1\nMünchen,2\nKöln,3\n".encode("latin-1"), 3, 2, "wert by stadt"),
    "quoted": (b'text,n\n"a, ""b""\nc",1\n"d",2\n', 2, 2, ""),
    "ragged": (b"a,b,c\n1,2\n3,4,5,6\n7,8,9\n", 3, 3, "Spread"),
    "hostile": (
        b'"<script>alert(1)</script>","$x^2$"\n"=cmd()",1\n"![](http://x)",2\n"=cmd()",3\n',
        3,
        2,
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_states_the_true_counts_and_draws_what_fits(
    agent: Agent, workspace: Path, name: str
) -> None:
    data, rows, columns, title = CASES[name]
    (workspace / f"{name}.csv").write_bytes(data)
    run = await agent.run(f"Analyse {name}.csv and chart it")
    assert run.status == "completed"
    assert f"has {rows} rows and {columns} columns" in run.text, run.text
    assert "offline demo, no AI" in run.text
    report = (workspace / f"{name}_report.md").read_text()
    assert f"{rows} rows, {columns} columns" in report
    assert "## Next questions" in report
    assert "<script>" not in report
    chart = (workspace / f"{name}_chart.png").read_bytes()
    assert chart.startswith(b"\x89PNG")
    assert title in report.replace("\\", "")


@pytest.mark.parametrize(("data", "rows"), [(b"", 0), (b"a,b\n", 0)])
async def test_an_empty_file_is_said_to_be_empty(
    agent: Agent, workspace: Path, data: bytes, rows: int
) -> None:
    (workspace / "e.csv").write_bytes(data)
    run = await agent.run("Analyse e.csv")
    assert run.status == "completed"
    assert f"{rows} rows" in run.text


async def test_one_of_anything_is_said_as_one(agent: Agent, workspace: Path) -> None:
    (workspace / "one.csv").write_text("kind\na\n")
    run = await agent.run("Analyse one.csv and chart it")
    assert "has 1 row and 1 column." in run.text
    assert "1 different value, most often a" in run.text
    assert "No difference in rows: 1 throughout." in run.text
    assert "1 row, 1 column" in (workspace / "one_report.md").read_text()


async def test_a_missing_file_is_not_made_up(agent: Agent, workspace: Path) -> None:
    (workspace / "there.csv").write_text("a\n1\n")
    run = await agent.run("Analyse gone.csv")
    assert run.status == "completed"
    assert "`gone.csv`" in run.text
    assert "`there.csv`" in run.text
    assert not list(workspace.glob("*_report.md"))


async def test_without_a_file_named_it_takes_the_one_there_is(agent: Agent, workspace: Path) -> None:
    (workspace / "only.csv").write_text("a,b\n1,x\n2,y\n")
    run = await agent.run("Please analyse my data")
    assert "only.csv has 2 rows" in run.text


async def test_anything_else_is_answered_with_what_it_is(agent: Agent) -> None:
    run = await agent.run("Write me a poem")
    assert "offline demo, no AI" in run.text
    assert "ANTHROPIC_API_KEY" in run.text
    assert not [event for event in run.events if isinstance(event, ToolCall)]


async def test_it_says_in_the_log_that_it_is_no_model(agent: Agent) -> None:
    run = await agent.run("Hello")
    (context,) = [event for event in run.events if isinstance(event, Context)]
    assert (context.model, context.demo) == ("demo", True)


async def test_a_second_prompt_of_the_session_begins_anew(agent: Agent, workspace: Path) -> None:
    (workspace / "a.csv").write_text("a,b\n1,x\n")
    (workspace / "b.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    await agent.run("Analyse a.csv")
    run = await agent.run("Now analyse b.csv")
    assert "b.csv has 3 rows" in run.text


async def test_a_run_can_be_saved_and_run_again(agent: Agent, workspace: Path) -> None:
    from nbclient import NotebookClient
    from nbformat import read

    (workspace / "a.csv").write_text("a,b\n1,x\n2,y\n")
    run = await agent.run("Analyse a.csv and chart it")
    path = run.save(workspace / "again.ipynb")
    notebook = read(path, as_version=4)
    place = {"metadata": {"path": str(workspace)}}
    # By itself it gives an output four seconds after its cell has ended, and then goes on without.
    client = NotebookClient(notebook, kernel_name="python3", resources=place, iopub_timeout=60)
    await client.async_execute()
    printed = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    profile = next(line for line in printed.splitlines() if line.startswith("PROFILE "))
    assert json.loads(profile.removeprefix("PROFILE "))["rows"] == 2
