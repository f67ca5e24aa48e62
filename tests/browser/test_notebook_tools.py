"""The agent and a person in one open notebook: neither overwrites the other, and every change can be taken back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent_kernel.testing.script import Text, ToolUse
from agent_kernel.tools.notebook.operations import digest
from tests.browser import lab
from tests.browser.axe import violations
from tests.browser.test_panel import OUTPUT, SLOW, Bench, post

FAILS = "rows = []\ntotal = 1 / len(rows)"
FIXED = "rows = [1, 2]\ntotal = 1 / len(rows)\nprint(total)"
BAD = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>'
SHARED = f"({lab.NOTEBOOK})().content.model.sharedModel"
SOURCES = f"() => Object.fromEntries({SHARED}.cells.map(cell => [cell.id, cell.getSource()]))"
TYPE = f"""([id, text]) => {{
  const cell = {SHARED}.cells.find(cell => cell.id === id);
  cell.updateSource(cell.getSource().length, cell.getSource().length, text);
}}"""
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def written(folder: Path, name: str) -> str:
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell("# Sales", id="title"),
        v4.new_code_cell(FAILS, id="fails"),
        v4.new_code_cell("x = 1", id="one"),
        v4.new_code_cell("y = 2", id="two"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / name)
    return name


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    OUTPUT.mkdir(exist_ok=True)
    scratch = tmp_path_factory.mktemp("notebooks")
    (folder := scratch / "work").mkdir()
    with lab.scripted() as api, lab.jupyter(folder, scratch / "home") as server, lab.browser() as context:
        yield Bench(server, context, api, scratch / "home")


@pytest.fixture(scope="module")
def page(bench: Bench) -> Iterator[Any]:
    written(bench.server.folder, "sales.ipynb")
    opened = lab.open_notebook(bench.context, bench.server, "sales.ipynb")
    lab.known(opened, "sales.ipynb")
    yield opened
    assert not [problem for problem in opened.problems if "agent" in problem.lower()], opened.problems


def run(bench: Bench, prompt: str, *turns: list[Any], permission: str = "bypass", name: str = "t") -> str:
    """A run of its own, beside any page."""
    bench.api.add(*turns)
    session = post(bench, "sessions", {"name": name, "workspace": ".", "new": True})["id"]
    return str(
        post(bench, "runs", {"session": session, "prompt": prompt, "options": {"permission": permission}})[
            "id"
        ]
    )


def ended(bench: Bench, page: Any, run: str) -> list[str]:
    """What the run's tools told the model."""
    final = ("completed", "failed", "cancelled")
    lab.until(lambda: lab.api(bench.server, f"runs/{run}")["status"] in final, "the run has ended", page)
    events = lab.api(bench.server, f"runs/{run}/events?limit=1000")["events"]
    results = [event for event in events if event["type"] == "tool_result"]
    return ["\n".join(block.get("text", "") for block in event["content"]) for event in results]


def edit(cell: str, seen: str, source: str) -> dict[str, Any]:
    return {"op": "edit", "cell": cell, "expected": digest(seen), "source": source}


def change(*operations: dict[str, Any], path: str = "sales.ipynb") -> ToolUse:
    return ToolUse("notebook_edit", {"path": path, "operations": list(operations)})


def read(path: str = "sales.ipynb") -> ToolUse:
    return ToolUse("notebook_read", {"path": path})


def bar(page: Any, cell: str) -> Any:
    return page.locator(f".agk-cellbar[data-agk-change='{cell}']")


def saved(bench: Bench, name: str = "sales.ipynb") -> dict[str, str]:
    """Its cells; nothing of a file that is just being written."""
    try:
        notebook = json.loads((bench.server.folder / name).read_text())
    except ValueError:
        return {}
    return {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}


def test_an_error_is_fixed_from_its_cell_and_run_again(bench: Bench, page: Any) -> None:
    lab.run_cell(page, 1)
    fix = page.get_by_role("button", name="Fix", exact=True)
    fix.wait_for(timeout=SLOW)
    page.screenshot(path=OUTPUT / "notebook-error.png")
    bench.api.add(
        [ToolUse("notebook_read", {"path": "sales.ipynb", "cells": ["fails"]})],
        [change(edit("fails", FAILS, FIXED))],
        [
            ToolUse(
                "notebook_run",
                {"path": "sales.ipynb", "cells": [{"cell": "fails", "expected": digest(FIXED)}]},
            )
        ],
        [Text("The list was empty.")],
    )
    fix.click()
    page.locator(".agk-user", has_text="Fix cell `fails` of `sales.ipynb`").wait_for(timeout=SLOW)
    bar(page, "fails").wait_for(timeout=SLOW)
    assert page.evaluate(SOURCES)["fails"] == FIXED
    rows = bar(page, "fails").locator(".agk-rows").inner_text().splitlines()
    assert [row for row in rows if row.strip()] == [
        "- rows = []",
        "+ rows = [1, 2]",
        "  total = 1 / len(rows)",
        "+ print(total)",
    ]
    allow = page.get_by_role("button", name="Allow once")
    allow.wait_for(timeout=SLOW)
    assert saved(bench)["fails"] == FIXED, "the page saves what it changed"
    asked = page.locator(".agk-approval pre").inner_text()
    page.screenshot(path=OUTPUT / "notebook-approval.png")
    assert asked == f"# sales.ipynb, cell fails:\n{FIXED}", "a person sees the code that will run"
    allow.click()
    page.get_by_text("The list was empty.").wait_for(timeout=SLOW)
    lab.cell(page, 1).locator(".jp-OutputArea-output").get_by_text("0.5").wait_for(timeout=SLOW)
    fix.wait_for(state="detached", timeout=SLOW)
    *_, ran = ended(bench, page, lab.api(bench.server, "runs")["runs"][0]["id"])
    assert ran.startswith("Ran 1 of 1 cells.") and "| 0.5" in ran
    page.screenshot(path=OUTPUT / "notebook-fixed.png")
    bar(page, "fails").get_by_role("button", name="Accept").click()
    page.get_by_text("1 accepted, 0 rejected").wait_for(timeout=SLOW)
    page.locator(".agk-runbar").get_by_role("button", name="Close").click()


def test_what_is_not_saved_is_read_and_never_overwritten(bench: Bench, page: Any) -> None:
    """The person types while the agent is about to change the cell: it is told what changed, and tries again."""
    page.evaluate(TYPE, ["title", " of 2026"])
    wait = ToolUse("bash", {"command": "touch ready; until [ -e go ]; do sleep 0.05; done"})
    work = run(
        bench, "Change one",
        [read()], [wait],
        [change(edit("two", "y = 2", "y = 20"), edit("one", "x = 1", "x = 10"))],
        [read(), change(edit("one", "x = 1  # mine", "x = 10  # mine"))],
        [Text("Done.")],
    )  # fmt: skip
    lab.until((bench.server.folder / "ready").exists, "the agent has read the notebook", page)
    page.evaluate(TYPE, ["one", "  # mine"])
    (bench.server.folder / "go").touch()
    first, _, refused, again, done = ended(bench, page, work)
    assert first.startswith(
        "sales.ipynb: 4 cells, kernel python3, format 4.5, open, with changes that are not saved"
    )
    assert "| # Sales of 2026" in first
    assert "Cell 'one' was changed since you read it" in refused and "+x = 1  # mine" in refused
    assert "| x = 1  # mine" in again
    assert done.startswith("Changed sales.ipynb, which is open before the person:")
    assert page.evaluate(SOURCES) | {"fails": ""} == {
        "title": "# Sales of 2026", "fails": "", "one": "x = 10  # mine", "two": "y = 2",
    }, "of a refused call nothing is done"  # fmt: skip
    page.evaluate(TYPE, ["one", "!"])
    bar(page, "one").get_by_text("You have changed it since").wait_for(timeout=SLOW)
    assert bar(page, "one").get_by_role("button", name="Reject").is_disabled()
    bar(page, "one").get_by_role("button", name="Accept").click()
    page.locator(".agk-runbar").get_by_role("button", name="Close").click()


def test_changes_are_rejected_one_by_one_by_keyboard_and_all_at_once(bench: Bench, page: Any) -> None:
    now = page.evaluate(SOURCES)
    operations = [
        edit("two", now["two"], f"y = 3\n{BAD}"),
        {"op": "insert", "cell_type": "markdown", "source": f"Why? {BAD}", "after": "title"},
        {"op": "delete", "cell": "one", "expected": digest(now["one"])},
    ]
    work = run(bench, "Change much", [change(*operations)], [Text("Done.")])
    ended(bench, page, work)
    page.locator(".agk-runbar").get_by_text("3 changes by the agent").wait_for(timeout=SLOW)
    page.locator(".agk-cellbar").nth(2).wait_for(timeout=SLOW)
    assert page.locator(".agk-cellbar").count() == 3
    assert page.locator(".jp-Notebook :is(img, script)").count() == 0, "what the model says is text"
    for theme in ("Light", "Dark"):
        lab.set_theme(page, f"JupyterLab {theme}")
        assert violations(page, ".agk-cellbar, .agk-runbar") == [], theme
        page.screenshot(path=OUTPUT / f"notebook-changes-{theme.lower()}.png")
    lab.set_theme(page, "JupyterLab Light")
    page.set_viewport_size({"width": 700, "height": 900})
    page.evaluate(
        "() => { const { shell } = window.jupyterapp; shell.collapseLeft(); shell.collapseRight(); }"
    )
    page.wait_for_timeout(300)
    page.screenshot(path=OUTPUT / "notebook-changes-700.png")
    page.set_viewport_size({"width": 1280, "height": 1000})

    page.locator(".agk-runbar").get_by_role("button", name="Next").press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.ariaLabel") == "Reject this change"
    page.keyboard.press("Enter")
    page.locator(".agk-runbar").get_by_text("2 changes by the agent").wait_for(timeout=SLOW)
    page.locator(".agk-runbar").get_by_role("button", name="Reject all").click()
    page.get_by_text("0 accepted, 3 rejected").wait_for(timeout=SLOW)
    assert page.evaluate(SOURCES) == now
    page.locator(".agk-runbar").get_by_role("button", name="Undo").click()
    page.locator(".agk-runbar").get_by_text("3 changes by the agent").wait_for(timeout=SLOW)
    assert "one" not in page.evaluate(SOURCES)

    page.announced.clear()
    page.reload()
    page.wait_for_function("() => window.__routed")
    lab.known(page, "sales.ipynb")
    page.locator(".agk-runbar").get_by_text("3 changes by the agent").wait_for(timeout=SLOW)
    post(bench, f"runs/{work}/undo", {})
    assert page.evaluate(SOURCES) == now, "the run's undo is done in the open document"
    assert saved(bench) == now
    page.locator(".agk-runbar").get_by_role("button", name="Close").click()


def test_a_run_that_is_stopped_interrupts_its_cell(bench: Bench, page: Any) -> None:
    lab_status(page, "idle")
    sleeper = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    now = page.evaluate(SOURCES)["two"]
    work = run(
        bench, "Sleep", [change(edit("two", now, sleeper))],
        [ToolUse("notebook_run", {"path": "sales.ipynb", "cells": [{"cell": "two", "expected": digest(sleeper)}]})],
    )  # fmt: skip
    page.get_by_text("begun", exact=True).wait_for(timeout=SLOW)
    post(bench, f"runs/{work}/cancel", {})
    page.get_by_text("KeyboardInterrupt").first.wait_for(timeout=SLOW)
    ended(bench, page, work)
    page.locator(".agk-runbar").get_by_role("button", name="Accept all").click()
    page.locator(".agk-runbar").get_by_role("button", name="Close").click()


def test_the_panel_beside_a_notebook_names_its_variables_and_reaches_its_kernel(
    bench: Bench, page: Any
) -> None:
    now = page.evaluate(SOURCES)["one"]
    frame = "import pandas as pd\ndf = pd.DataFrame({'region': ['north', 'south'], 'amount': [1.5, None]})\ndice = [1]"
    page.evaluate(TYPE, ["one", f"\n{frame}"])
    lab.run_cell(page, [*page.evaluate(SOURCES)].index("one"))
    lab_status(page, "idle")  # variables of a busy kernel are not offered
    page.evaluate("() => window.jupyterapp.commands.execute('agent-kernel:new')")
    write = page.locator(".agk-composer textarea")
    write.fill("")
    write.press_sequentially("Sum @d")
    offered = page.locator(".agk-choices li")
    offered.get_by_text("df", exact=True).wait_for(timeout=SLOW)
    first, second, *_ = [line.inner_text() for line in offered.all()]
    assert first.startswith("df pandas.DataFrame, 2 × 2, ") and second == "dice list, 1 items of int"
    for theme in ("Light", "Dark"):
        lab.set_theme(page, f"JupyterLab {theme}")
        assert violations(page, ".agk-composer") == [], theme
        page.screenshot(path=OUTPUT / f"panel-variables-{theme.lower()}.png")
    lab.set_theme(page, "JupyterLab Light")
    write.fill("")  # a new theme may take the focus, and with it what was offered
    write.press_sequentially("Sum @d")
    offered.get_by_text("df", exact=True).wait_for(timeout=SLOW)
    write.press("Tab")
    assert write.input_value() == "Sum @df "
    bench.api.add(
        [ToolUse("notebook_variables", {"names": ["df"]})],
        [ToolUse("notebook_export", {"name": "df"})],
        [ToolUse("notebook_python", {"code": "total = df.amount.sum()\nprint('total', total)\ntotal"})],
        [ToolUse("notebook_python", {"code": "1 / 0"})],
        [Text("The sum is 1.5.")],
    )
    write.press("Enter")
    for code in (
        "print('total', total)",
        "1 / 0",
    ):  # each its own: the first is seen until its answer is heard
        asks = page.locator(".agk-approval", has_text=code)
        asks.get_by_role("button", name="Allow once").click(timeout=SLOW)
    page.get_by_text("The sum is 1.5.").wait_for(timeout=SLOW)
    latest = lab.api(bench.server, "runs")["runs"][0]
    assert latest["prompt"].startswith("Sum `df`\n\nDataFrame `df` of the person's kernel:\n```\ndf: pandas")
    for part in ("2 rows × 2 columns", "in memory", "amount: float64, 1 missing", "north,1.5"):
        assert part in latest["prompt"]
    looked, exported, summed, failed = ended(bench, page, latest["id"])
    assert looked.startswith("df: pandas.") and "region" in looked and "north" not in looked
    assert exported.startswith("Written: agent-data/df.parquet (2 rows × 2 columns"), "named, so not asked"
    assert "total 1.5" in summed and "ZeroDivisionError" in failed
    page.screenshot(path=OUTPUT / "panel-variables-used.png")
    counts = f"() => {SHARED}.cells.map(cell => cell.execution_count ?? null)"
    before = page.evaluate(counts)
    lab.run_cell(page, [*page.evaluate(SOURCES)].index("one"))
    assert max(filter(None, page.evaluate(counts))) == max(filter(None, before)) + 1, (
        "history is the person's"
    )

    bench.api.add([ToolUse("notebook_python", {"code": "import time\ntime.sleep(600)"})])
    asked = {"session": latest["session_id"], "prompt": "Sleep", "beside": "sales.ipynb"}
    sleeps = post(bench, "runs", {**asked, "options": {"permission": "bypass"}})["id"]
    lab_status(page, "busy")
    post(bench, f"runs/{sleeps}/cancel", {})
    lab_status(page, "idle")
    (stopped,) = ended(bench, page, sleeps)
    assert "Stopped" in stopped

    page.evaluate(f"() => ({lab.NOTEBOOK})().context.sessionContext.shutdown()")
    write.press_sequentially("Sum @d")
    why = "sales.ipynb has no running kernel, so its variables are not there. Run a cell of it first."
    page.locator(".agk-choices").get_by_text(why).wait_for(timeout=SLOW)
    page.screenshot(path=OUTPUT / "panel-variables-no-kernel.png")
    write.press("Escape")
    write.press_sequentially("f")
    write.press("Escape")
    write.press("Enter")
    page.get_by_text(f"@df: {why} Nothing was sent.").wait_for(timeout=SLOW)
    assert write.input_value() == "Sum @df" and lab.api(bench.server, "runs")["runs"][0]["id"] == sleeps
    write.fill("")
    page.evaluate(
        f"([id, text]) => {SHARED}.cells.find(cell => cell.id === id).setSource(text)", ["one", now]
    )
    page.evaluate(f"() => ({lab.NOTEBOOK})().context.sessionContext.restartKernel()")


def lab_status(page: Any, status: str) -> None:
    """Until the notebook's kernel has it."""
    page.wait_for_function(
        f"status => ({lab.NOTEBOOK})()?.context.sessionContext.session?.kernel?.status === status",
        arg=status, timeout=SLOW,
    )  # fmt: skip


def test_a_closed_notebook_is_a_file_and_its_cells_are_not_run(bench: Bench, page: Any) -> None:
    name = written(bench.server.folder, "closed.ipynb")
    wanted = {"path": name, "cells": [{"cell": "one", "expected": digest("x = 1")}]}
    work = run(
        bench, "Closed", [ToolUse("notebook_run", wanted)], [change(edit("one", "x = 1", "x = 9"), path=name)],
        [Text("Done.")],
    )  # fmt: skip
    refused, done = ended(bench, page, work)
    assert "closed.ipynb is not open in JupyterLab" in refused
    assert done.startswith("Changed closed.ipynb:") and saved(bench, name)["one"] == "x = 9"


def test_a_run_in_another_process_changes_the_open_document_not_its_file_behind_it(
    bench: Bench, page: Any
) -> None:
    """As of a worker, or of the command line beside JupyterLab."""
    now = page.evaluate(SOURCES)["one"]
    page.evaluate(TYPE, ["title", ", edited"])
    bench.api.add([change(edit("one", now, "x = 8"))], [Text("Done.")])
    home = {"HOME": str(bench.home), "JUPYTER_DATA_DIR": str(bench.home / "data")}
    command = [sys.executable, "-m", "agent_kernel", "run", "Eight", "--json", "--permission", "accept-edits"]
    done = subprocess.run(
        command, cwd=bench.server.folder, env={**os.environ, **home}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Changed sales.ipynb, which is open before the person" in done.stdout
    bar(page, "one").get_by_role("button", name="Accept").click()
    now = page.evaluate(SOURCES)
    assert now["one"] == "x = 8" and now["title"].endswith(", edited") and saved(bench) == now
    page.locator(".agk-runbar").get_by_role("button", name="Close").click()


def test_a_question_is_asked_at_a_cell_in_notebook_7(bench: Bench) -> None:
    name = written(bench.server.folder, "seven.ipynb")
    page = lab.open_notebook(bench.context, bench.server, name, "notebook")
    lab.known(page, name)
    bench.api.add([read(name)], [change(edit("one", "x = 1", "x = 7"), path=name)], [Text("It is seven.")])
    lab.cell(page, 2).click()
    lab.cell(page, 2).get_by_role("button", name="Ask Agent About This Cell").click(timeout=SLOW)
    question = page.get_by_label("Ask the agent about this cell")
    question.wait_for(timeout=SLOW)
    question.press_sequentially("Make it seven")
    assert violations(page, ".agk-askbar") == []
    page.screenshot(path=OUTPUT / "notebook-ask.png")
    question.press("Enter")
    bar(page, "one").wait_for(timeout=SLOW)
    page.get_by_text("It is seven.").wait_for(timeout=SLOW)
    page.screenshot(path=OUTPUT / "notebook-7.png")
    assert page.evaluate(SOURCES)["one"] == "x = 7"
    bar(page, "one").get_by_role("button", name="Reject").click()
    page.get_by_text("0 accepted, 1 rejected").wait_for(timeout=SLOW)
    assert page.evaluate(SOURCES)["one"] == "x = 1"
    lab.save(page)
    ended(
        bench,
        page,
        run(
            bench,
            "As a file",
            [ToolUse("bash", {"command": f"sed -i 's/x = 1/x = 5/' {name}"})],
            [Text("Done.")],
        ),
    )
    page.wait_for_function(f"() => ({SOURCES})().one === 'x = 5'", timeout=SLOW)
    page.close()


def test_of_two_pages_one_changes_it_and_pages_that_vanish_leave_it_to_the_file(
    bench: Bench, page: Any
) -> None:
    lab.save(page)
    other = lab.open_notebook(bench.context, bench.server, "sales.ipynb", "notebook", kernel=False)
    lab.known(other, "sales.ipynb")
    other.get_by_role("heading", name="Sales of 2026, edited").wait_for(timeout=SLOW)
    now = page.evaluate(SOURCES)["one"]
    (done,) = ended(bench, page, run(bench, "One", [change(edit("one", now, "x = 2"))], [Text("Done.")]))
    assert "open before the person" in done
    if not page.evaluate(f"() => ({lab.NOTEBOOK})().context.model.collaborative"):
        assert sorted(each.evaluate(SOURCES)["one"] for each in (page, other)) == sorted([now, "x = 2"])
    for each in (page, other):  # gone without a word
        each.route("**/api/agent/**", lambda route: route.abort())
    (done,) = ended(bench, page, run(bench, "Two", [change(edit("one", "x = 2", "x = 3"))], [Text("Done.")]))
    assert done.startswith("Changed sales.ipynb:") and saved(bench)["one"] == "x = 3"
    other.close()
