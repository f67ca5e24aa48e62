"""The quickstart in a real JupyterLab: what a person sees, and what stays in the file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tests.browser import lab

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "tests" / "output"
ASK = 2
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", target)
    OUTPUT.mkdir(exist_ok=True)
    return target


def test_a_prompt_in_a_cell_does_real_work(folder: Path, tmp_path: Path) -> None:
    with lab.jupyter(folder, tmp_path / "home") as server, lab.browser() as context:
        page = lab.open_notebook(context, server, "quickstart.ipynb")
        lab.run_cell(page, 1)
        lab.run_cell(page, ASK, wait=False)
        ask = lab.cell(page, ASK)

        ask.locator(".agk").wait_for()
        ask.get_by_text("offline demo, no AI").first.wait_for()
        ask.get_by_text(re.compile("bubblewrap|landlock|seatbelt")).first.wait_for()
        ask.get_by_role("button", name="Stop").wait_for()
        page.screenshot(path=OUTPUT / "quickstart-running.png")

        page.wait_for_function("() => window.__done")
        ask.locator(".agk").wait_for(state="detached")  # the live view makes room for the static transcript
        ask.get_by_text(re.compile("2,?284")).filter(visible=True).first.wait_for()
        ask.locator("img").first.wait_for(state="attached")  # the chart stands in the transcript
        ask.scroll_into_view_if_needed()
        page.screenshot(path=OUTPUT / "quickstart-done.png")

        lab.run_cell(page, 4)
        lab.cell(page, 4).get_by_text("completed").first.wait_for()
        lab.save(page)

        assert (folder / "mauna_loa_co2_chart.png").is_file()
        assert (folder / "mauna_loa_co2_report.md").is_file()
        assert not [p for p in page.problems if "agent" in p.lower()], page.problems

    notebook = nbformat.read(folder / "quickstart.ipynb", as_version=4)
    nbformat.validate(notebook)
    (output,) = notebook.cells[ASK].outputs
    assert sorted(output.data) == ["text/html", "text/markdown", "text/plain"]
    assert "agent_kernel" in output.metadata
    assert "widgets" not in notebook.metadata or not notebook.metadata.widgets


def test_somebody_without_a_kernel_reads_the_whole_transcript(folder: Path, tmp_path: Path) -> None:
    with lab.jupyter(folder, tmp_path / "home") as server, lab.browser() as context:
        page = lab.open_notebook(context, server, "quickstart.ipynb")
        lab.run_cell(page, 1)
        lab.run_cell(page, ASK)
        lab.save(page)
    notebook = nbformat.read(folder / "quickstart.ipynb", as_version=4)
    notebook.cells[ASK].outputs[0].metadata["changed"] = True  # the signature no longer fits: untrusted
    nbformat.write(notebook, folder / "received.ipynb")
    with lab.jupyter(folder, tmp_path / "other-home") as server, lab.browser() as context:
        page = lab.open_notebook(context, server, "received.ipynb", kernel=False)
        received = lab.cell(page, ASK)
        received.get_by_text("offline demo, no AI").first.wait_for()
        assert "Error displaying widget" not in received.inner_text()
        assert received.locator("img[src^='data:image']").count() >= 1
        for theme in ("Light", "Dark"):
            lab.set_theme(page, f"JupyterLab {theme}")
            received.scroll_into_view_if_needed()
            page.screenshot(path=OUTPUT / f"received-{theme.lower()}.png")


def test_stop_in_the_view_ends_the_run_and_leaves_the_kernel_usable(folder: Path, tmp_path: Path) -> None:
    with lab.jupyter(folder, tmp_path / "home") as server, lab.browser() as context:
        page = lab.open_notebook(context, server, "quickstart.ipynb")
        lab.run_cell(page, 1)
        lab.run_cell(page, ASK, wait=False)
        stop = lab.cell(page, ASK).get_by_role("button", name="Stop")
        stop.click()
        page.wait_for_function("() => window.__done")
        lab.cell(page, ASK).get_by_text("cancelled").first.wait_for()
        lab.run_cell(page, 8)
        lab.cell(page, 8).locator(".jp-OutputArea-output").get_by_text("/stop").first.wait_for()
