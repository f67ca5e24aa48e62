"""Workspaces in the panel of a real JupyterLab: their files go in and out, their sandboxes stop and go."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.testing.script import Text, ToolUse
from tests.browser import lab
from tests.browser.axe import violations
from tests.browser.test_panel import OUTPUT, Bench

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DROP = """([names, size]) => {
  const data = new DataTransfer();
  for (const name of names) data.items.add(new File([new Uint8Array(size).fill(65)], name));
  const target = document.querySelector('.agk-browser');
  for (const type of ['dragover', 'drop'])
    target.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    OUTPUT.mkdir(exist_ok=True)
    scratch = tmp_path_factory.mktemp("workspaces")
    folder = scratch / "work"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sales.csv").write_text("a,b\n1,2\n")
    (folder / "<b>bold.txt").write_text("text of a stranger's")
    with lab.scripted() as api, lab.jupyter(folder, scratch / "home") as server, lab.browser() as context:
        yield Bench(server, context, api, scratch / "home")


@pytest.fixture(scope="module")
def page(bench: Bench) -> Any:
    page = bench.panel()
    bench.api.add([ToolUse("bash", {"command": "echo made > made.txt"})], [Text("Done.")])
    page.locator(".agk-write textarea").fill("Make a file")
    page.locator(".agk-write textarea").press("Enter")
    page.locator(".agk-status", has_text="Done").or_(page.get_by_text("Done.")).first.wait_for()
    return page


def entry(page: Any, name: str) -> Any:
    return page.locator(
        ".agk-entry", has=page.locator(".agk-name", has_text=re.compile(f"^{re.escape(name)}$"))
    )


def test_files_are_looked_through_taken_out_and_dropped_in(bench: Bench, page: Any) -> None:
    if page.locator(".agk-back").is_visible():
        page.locator(".agk-back").click()
    page.get_by_role("button", name="Workspaces", exact=True).click()
    page.locator(".agk-workspaces .agk-run").first.click()
    entry(page, "made.txt").wait_for()
    assert entry(page, "<b>bold.txt").count() == 1, "names of strangers are text"
    entry(page, "data").click()
    with page.expect_download() as download:
        entry(page, "sales.csv").click()
    assert Path(download.value.path()).read_text() == "a,b\n1,2\n"

    page.evaluate(DROP, [["dropped one.csv", "zwei ü.bin"], 20_000_000])
    entry(page, "dropped one.csv").wait_for()
    entry(page, "zwei ü.bin").wait_for()
    page.locator(".agk-arriving").first.wait_for(state="detached")
    assert (bench.server.folder / "data" / "zwei ü.bin").read_bytes() == b"A" * 20_000_000
    page.locator("li", has=entry(page, "zwei ü.bin")).get_by_role("button", name="Remove").click()
    page.locator(".jp-Dialog").get_by_role("button", name="Remove", exact=True).click()
    entry(page, "zwei ü.bin").wait_for(state="detached")
    assert not (bench.server.folder / "data" / "zwei ü.bin").exists()


def test_an_upload_that_breaks_off_goes_on_where_it_was(bench: Bench, page: Any) -> None:
    sent: list[str] = []

    def breaks(route: Any) -> None:
        sent.append(route.request.headers.get("content-range", ""))
        route.abort() if sent[-1].startswith("bytes 8388608-") and len(sent) == 3 else route.continue_()

    page.route("**/files/data/broken.bin*", breaks)
    page.evaluate(DROP, [["broken.bin"], 20_000_000])
    entry(page, "broken.bin").wait_for()
    page.locator(".agk-arriving").first.wait_for(state="detached")
    page.unroute("**/files/data/broken.bin*")
    assert (bench.server.folder / "data" / "broken.bin").read_bytes() == b"A" * 20_000_000
    assert [said.partition("/")[0] for said in sent] == [
        "bytes *", "bytes 0-8388607", "bytes 8388608-16777215", "bytes *", "bytes 8388608-16777215",
        "bytes 16777216-19999999",
    ]  # fmt: skip


def test_how_it_looks_and_reads(bench: Bench, page: Any) -> None:
    for theme in ("Light", "Dark"):
        lab.set_theme(page, f"JupyterLab {theme}")
        assert violations(page, ".agk-panel") == []
        page.screenshot(path=OUTPUT / f"workspace-{theme.lower()}.png")
    page.get_by_role("button", name="All workspaces").click()
    page.get_by_role("button", name="New", exact=True).click()
    page.get_by_text("A notebook for questions about data").wait_for()
    assert violations(page, ".agk-panel") == []
    page.screenshot(path=OUTPUT / "workspaces-dark.png")
    lab.set_theme(page, "JupyterLab Light")
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(500)
    page.screenshot(path=OUTPUT / "workspaces-narrow.png")
    page.set_viewport_size({"width": 1280, "height": 1000})


def test_a_new_one_is_made_from_a_template_stopped_and_deleted(bench: Bench, page: Any) -> None:
    page.get_by_label("website").check()
    page.get_by_label("Name of the new folder").fill("my site")
    page.get_by_role("button", name="Make it").click()
    entry(page, "index.html").wait_for()
    assert (bench.server.folder / "my site" / "index.html").is_file()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("local, stopped").wait_for()
    with page.expect_download() as export:
        page.get_by_role("button", name="Export", exact=True).click()
    assert os.path.getsize(export.value.path()) > 300
    page.locator(".agk-workspace").get_by_role("button", name="Delete", exact=True).click()
    page.locator(".jp-Dialog").get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("no sandbox yet").first.wait_for()
    assert (bench.server.folder / "my site" / "index.html").is_file()
    assert page.problems == []
