"""The agent kernel in a real JupyterLab: its tile, a prompt in a plain cell, and the stop button."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from tests.browser import lab

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "tests" / "output"
MODEL, ASK, PYTHON, STATUS = 1, 3, 5, 9
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_launcher_offers_it_and_a_plain_cell_is_a_prompt(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    OUTPUT.mkdir(exist_ok=True)
    with lab.jupyter(folder, tmp_path / "home") as server, lab.browser() as context:
        page = context.new_page()
        page.goto(f"{server.url}/lab/workspaces/t{time.time_ns()}?token={lab.TOKEN}&reset")
        tile = page.locator(".jp-LauncherCard[data-category='Notebook']", has_text="Agent")
        tile.wait_for()
        assert tile.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        page.screenshot(path=OUTPUT / "launcher-light.png")
        lab.set_theme(page, "JupyterLab Dark")
        page.screenshot(path=OUTPUT / "launcher-dark.png")
        page.close()

        page = lab.open_notebook(context, server, "agent-kernel.ipynb")
        kinds = f"() => [...({lab.NOTEBOOK})().content.model.cells].map(cell => cell.mimeType)"
        page.wait_for_function(f"() => ({kinds})()[{PYTHON}] === 'text/x-ipython'")
        assert page.evaluate(kinds)[ASK] == "text/x-ipythongfm"
        lab.run_cell(page, MODEL)
        lab.run_cell(page, ASK, wait=False)
        lab.cell(page, ASK).locator(".agk-card").first.wait_for()
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
        page.wait_for_function("() => window.__done")
        lab.cell(page, ASK).get_by_text("Stopped.").first.wait_for()

        lab.run_cell(page, STATUS)
        lab.cell(page, STATUS).get_by_text("cancelled").first.wait_for()
        with urllib.request.urlopen(f"{server.url}/api/agent/runs?token={lab.TOKEN}") as answer:
            (run,) = json.load(answer)["runs"]
        assert run["status"] == "cancelled", "the server hosts it"
        lab.save(page)
        assert not [p for p in page.problems if "agent" in p.lower()], page.problems
    notebook = nbformat.read(folder / "agent-kernel.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "agent"
    assert "text/html" in notebook.cells[ASK].outputs[0].data
