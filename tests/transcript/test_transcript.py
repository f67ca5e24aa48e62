"""Transcripts: readable everywhere, the same in all formats, and never anything but text."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from agent_kernel import transcript
from agent_kernel.errors import AgentKernelError
from agent_kernel.events import Message
from agent_kernel.transcript.notebook import portable
from agent_kernel.transcript.safe import markdown_html
from tests.browser import lab
from tests.transcript.runs import PNG, analysis, hostile


class Audit(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src"):
                self.links.append(value or "")


def audit(html: str) -> Audit:
    found = Audit()
    found.feed(html)
    return found


HARMLESS = {
    "div", "details", "summary", "span", "b", "code", "pre", "p", "br", "img", "table", "thead", "tbody", "tr",
    "th", "td", "strong", "em", "a", "ul", "ol", "li", "h1", "h2", "h3", "blockquote", "hr", "s",
}  # fmt: skip
PAGE = {"html", "head", "body", "meta", "title", "style"}


def test_the_cell_output_has_three_mime_types_and_no_widget() -> None:
    assert sorted(transcript.bundle(analysis())) == ["text/html", "text/markdown", "text/plain"]


def test_the_html_uses_only_what_survives_the_sanitizers() -> None:
    found = audit(transcript.bundle(analysis())["text/html"])
    assert found.tags <= HARMLESS
    assert found.attributes <= {"style", "href", "rel", "src", "alt"}
    assert "var(--" not in transcript.bundle(analysis())["text/html"]


@pytest.mark.parametrize("mime", ["text/html", "text/markdown", "text/plain"])
def test_every_format_tells_the_same_story(mime: str) -> None:
    shown = transcript.bundle(analysis())[mime]
    for part in (
        "3 rows.",
        "report.md",
        "Overloaded",
        "completed",
        "claude-sonnet-5-5",
        "1,000 tokens",
        "denied",
    ):
        assert part in shown, part


def test_charts_are_seen_without_opening_anything() -> None:
    html = transcript.bundle(analysis())["text/html"]
    before = html[: html.index(f'src="data:image/png;base64,{PNG}')]
    assert before.count("<details") == before.count("</details>")


def test_the_offline_demo_says_what_it_is() -> None:
    events = [e.model_copy(update={"demo": True}) if e.type == "context" else e for e in analysis()]
    for shown in transcript.bundle(events).values():
        assert "offline demo, no AI" in shown


def test_hostile_text_stays_text_in_html() -> None:
    for html, allowed in (
        (transcript.bundle(hostile())["text/html"], HARMLESS),
        (transcript.to_html(hostile()), HARMLESS | PAGE),
    ):
        found = audit(html)
        assert found.tags <= allowed, found.tags - allowed
        assert not [name for name in found.attributes if name.startswith("on")]
        assert all(re.match(r"https?://|mailto:|data:image/", link) for link in found.links), found.links
        assert "attacker.example/pixel.png" not in "".join(found.links)
        assert "\u202e" not in html
        assert "\x1b" not in html


def test_hostile_text_stays_text_in_markdown() -> None:
    from markdown_it import MarkdownIt

    rendered = (
        MarkdownIt("commonmark", {"html": True}).enable("table").render(transcript.to_markdown(hostile()))
    )
    found = audit(rendered)
    assert found.tags <= HARMLESS, found.tags - HARMLESS
    assert not [name for name in found.attributes if name.startswith("on")]
    assert not [
        link for link in found.links if not re.match(r"https?://|mailto:|data:image/(png|svg)|#", link)
    ]


def test_hostile_text_stays_text_in_a_notebook() -> None:
    notebook = transcript.to_notebook(hostile())
    json.dumps(notebook).encode("utf-8")
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            kinds = set(output.get("data", {}))
            assert kinds <= {"text/plain", "text/html", "image/png"}
            assert audit(output.get("data", {}).get("text/html", "")).tags <= HARMLESS


def test_long_outputs_are_bounded() -> None:
    sizes = {mime: len(text) for mime, text in transcript.bundle(hostile()).items()}
    assert sizes["text/html"] < 1_500_000
    assert sizes["text/plain"] < 1_000_000


def test_a_notebook_holds_the_real_outputs_and_is_valid() -> None:
    notebook = transcript.to_notebook(analysis())
    nbformat.validate(notebook)
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [output.output_type for output in cell.outputs] == ["stream", "execute_result", "display_data"]
    assert cell.outputs[1].data["text/html"].startswith("<table")
    assert "pd.read_csv('data/sales.csv')" in cell.source
    assert notebook.metadata.agent_kernel.run_id == "r-1"


def test_paths_of_the_sandbox_become_relative() -> None:
    assert portable("open('/workspace/a b.csv')") == "open('a b.csv')"
    assert portable('os.listdir("/workspace")') == 'os.listdir(".")'
    assert portable("x = '/workspaces/a'") == "x = '/workspaces/a'"


def test_a_saved_notebook_runs_again(tmp_path: Path) -> None:
    from nbclient import NotebookClient

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sales.csv").write_text("a\n1\n2\n3\n")
    path = transcript.save(analysis(), tmp_path / "again.ipynb")
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", resources=folder, iopub_timeout=60).execute()
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cell.outputs[0].text == "3\n"


@pytest.mark.parametrize("name", ["run.ipynb", "run.html", "run.md"])
def test_saving_writes_a_whole_file(tmp_path: Path, name: str) -> None:
    path = transcript.save(analysis(), tmp_path / name)
    assert "3 rows." in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("run.pdf", "no ending"), ("folder.md", "is a folder"), ("missing/run.md", "cannot be written")],
)
def test_what_cannot_be_saved_is_one_sentence(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(AgentKernelError, match=sentence):
        transcript.save(analysis(), tmp_path / name)


@pytest.mark.browser
def test_nothing_hostile_runs_in_a_real_browser(tmp_path: Path) -> None:
    transcript.save(hostile(), tmp_path / "hostile.html")
    page_text = f"<!DOCTYPE html><meta charset=utf-8><body>{transcript.bundle(hostile())['text/html']}</body>"
    (tmp_path / "fragment.html").write_text(page_text, encoding="utf-8")
    requests: list[str] = []
    with lab.browser() as context:
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        for name in ("hostile.html", "fragment.html"):
            page.goto((tmp_path / name).as_uri())
            page.wait_for_timeout(300)
            assert page.evaluate("() => window.__xss") is None
            assert page.evaluate("() => document.querySelectorAll('script, iframe, svg, base').length") == 0
    assert all(url.startswith(("file:", "data:")) for url in requests), requests


@pytest.mark.browser
def test_a_long_word_stays_within_the_frame(tmp_path: Path) -> None:
    word = Message(role="assistant", text="w" * 500)
    transcript.save([*analysis()[:3], word], tmp_path / "long.html")
    with lab.browser() as context:
        page = context.new_page()
        page.goto((tmp_path / "long.html").as_uri())
        over = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(over) == 0


def test_text_from_right_to_left_is_read_in_its_own_direction() -> None:
    html = markdown_html("שלום.\n\n- אחת.\n\n| a | שתיים |\n|---|---|\n| 1 | 2 |\n")
    assert '<p dir="auto">שלום.</p>' in html
    assert '<ul dir="auto">\n<li>אחת.</li>' in html
    assert '<th dir="auto">שתיים</th>' in html
    assert "dir" not in markdown_html("Left to right.\n\n- one")


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    path = transcript.save(analysis(), tmp_path / "run.md")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_long_words_of_a_table_may_be_broken_and_nothing_else_of_it() -> None:
    name = "a_rather_long_name_of_a_column"
    link = f"https://example.org/{name}"
    html = markdown_html(f"{name}\n\n| {name} | {'&' * 30} |\n|---|---|\n| [short]({link}) | 1 |\n")
    assert f"<p>{name}</p>" in html
    assert "<th>a_rather_lon<wbr>g_name_of_a_<wbr>column</th>" in html
    assert "&amp<wbr>" not in html and f'href="{link}"' in html
