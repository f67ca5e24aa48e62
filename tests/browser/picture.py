"""Takes the README's pictures: `python -m tests.browser.picture`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.browser import lab
from tests.browser.test_panel import show

ROOT = Path(__file__).parents[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "notebooks"
        shutil.copytree(ROOT / "notebooks", folder)
        with (
            lab.jupyter(folder, Path(scratch) / "home") as server,
            lab.browser(viewport={"width": 1180, "height": 1200}) as context,
        ):
            page = lab.open_notebook(context, server, "quickstart.ipynb")
            page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
            lab.run_cell(page, 1)
            lab.run_cell(page, 2, wait=False)
            cell = lab.cell(page, 2)
            cell.locator(".agk img").wait_for()
            page.wait_for_timeout(150)
            cell.screenshot(path=ROOT / "docs" / "quickstart.png")
            page.wait_for_function("() => window.__done")
            page.set_viewport_size({"width": 1280, "height": 800})
            show(page)
            page.evaluate("() => window.jupyterapp.shell.expandRight()")
            page.locator(".agk-run").first.click()
            page.get_by_role("tab", name="Files").click()
            page.locator(".agk-view .agk-diff").first.wait_for()
            cell.scroll_into_view_if_needed()
            page.wait_for_timeout(500)
            page.screenshot(path=ROOT / "docs" / "panel.png")


if __name__ == "__main__":
    main()
