"""Takes the README's picture: `python -m tests.browser.picture`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.browser import lab

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
            cell.locator(".agk img").wait_for(timeout=90_000)
            page.wait_for_timeout(150)
            cell.screenshot(path=ROOT / "docs" / "quickstart.png")


if __name__ == "__main__":
    main()
