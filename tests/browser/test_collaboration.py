"""With jupyter-collaboration: two people and the agent in one notebook, each at a browser of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kernel.testing.script import Text, ToolUse
from agent_kernel.tools.notebook.operations import digest
from tests.browser import lab
from tests.browser.test_notebook_tools import (
    SHARED,
    SOURCES,
    TYPE,
    bar,
    change,
    edit,
    ended,
    read,
    run,
    saved,
    written,
)  # fmt: skip
from tests.browser.test_panel import OUTPUT, SLOW, Bench, post

ROOT = Path(__file__).parents[2]
PREFIX = Path(sys.prefix)
SEEN = f"(wanted) => JSON.stringify(({SOURCES})()) === JSON.stringify(wanted)"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """JupyterLab of an environment that has jupyter-collaboration, and else what this one has."""
    if not (PREFIX / "collaboration" / ".made").exists():
        subprocess.run(["make", "-s", "collaboration"], cwd=ROOT, check=True)
    OUTPUT.mkdir(exist_ok=True)
    scratch = tmp_path_factory.mktemp("together")
    (folder := scratch / "work").mkdir()
    with lab.scripted() as api, pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(PREFIX / "share" / "jupyter"))
        patch.setenv("JUPYTER_CONFIG_PATH", str(PREFIX / "etc" / "jupyter"))
        patch.setenv("JUPYTERLAB_DIR", str(PREFIX / "share" / "jupyter" / "lab"))
        python = str(PREFIX / "collaboration" / "bin" / "python")
        with (
            lab.jupyter(folder, scratch / "home", python=python) as server,
            lab.browser() as context,
        ):
            yield Bench(server, context, api, scratch / "home")


def test_an_agent_edits_for_both_never_over_a_person_and_its_run_is_one_step_back(bench: Bench) -> None:
    name = written(bench.server.folder, "sales.ipynb")
    other = bench.context.browser.new_context()
    ann, bob = [
        lab.open_notebook(context, bench.server, name, kernel=False) for context in (bench.context, other)
    ]
    for page in (ann, bob):
        lab.known(page, name)
        assert page.evaluate(f"() => ({lab.NOTEBOOK})().context.model.collaborative")
        page.wait_for_function(f"() => {SHARED}.cells.length === 4", timeout=SLOW)
    wait = ToolUse("bash", {"command": "touch ready; until [ -e go ]; do sleep 0.05; done"})
    work = run(
        bench, "Change one and two",
        [read()], [wait],
        [change(edit("one", "x = 1", "x = 10"))],
        [read(), change(edit("one", "x = 1  # Bob's", "x = 10  # Bob's"))],
        [change(edit("two", "y = 2", "y = 20"), {"op": "insert", "source": "z = 30", "after": "two"})],
        [Text("Done.")],
    )  # fmt: skip
    lab.until((bench.server.folder / "ready").exists, "the agent has read the notebook", ann)
    bob.evaluate(TYPE, ["one", "  # Bob's"])
    ann.wait_for_function(f'() => ({SOURCES})().one.endsWith("Bob\'s")', timeout=SLOW)
    (bench.server.folder / "go").touch()
    first, _, refused, again, *done = ended(bench, ann, work)
    assert "open" in first.splitlines()[0]
    assert "Cell 'one' was changed since you read it" in refused and "+x = 1  # Bob's" in refused
    assert "| x = 1  # Bob's" in again
    assert [told.partition(":")[0] for told in done] == [
        "Changed sales.ipynb, which is open before the person"
    ] * 2
    changed = ann.evaluate(SOURCES)
    (added,) = set(changed) - {"title", "fails", "one", "two"}
    assert [changed[cell] for cell in ("one", "two", added)] == ["x = 10  # Bob's", "y = 20", "z = 30"]
    assert digest(changed["one"]) != digest("x = 1")
    bob.wait_for_function(SEEN, arg=changed, timeout=SLOW)
    lab.until(lambda: saved(bench) == changed, "the file holds what both see", ann)
    acting = lab.until(lambda: [page for page in (ann, bob) if bar(page, "two").count()], "a bar", ann)
    acting[0].screenshot(path=OUTPUT / "collaboration.png")

    assert not post(bench, f"runs/{work}/undo", {})["skipped"]
    before = {"title": "# Sales", "fails": changed["fails"], "one": "x = 1  # Bob's", "two": "y = 2"}
    for page in (ann, bob):
        page.wait_for_function(SEEN, arg=before, timeout=SLOW)
    lab.until(lambda: saved(bench) == before, "the file holds what both see", ann)
    other.close()
