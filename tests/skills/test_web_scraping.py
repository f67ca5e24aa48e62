"""The web-scraping skill against a real site on loopback: its rules, its pages, its tables."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "skills/web-scraping/scripts"


class Site:
    """`pages` by path: status, headers, text. `asked` is what was asked for, in order."""

    def __init__(self) -> None:
        self.pages: dict[str, list[tuple[int, dict[str, str], str]]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                answers = site.pages.get(self.path, [(404, {}, "gone")])
                status, headers, text = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                for name, value in {"Content-Type": "text/html", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, path: str, text: str, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages.setdefault(path, []).append((status, named, text))


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


def fetch(folder: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    command = [
        sys.executable,
        "-I",
        str(SCRIPTS / "fetch.py"),
        "--delay",
        "0",
        "--out",
        str(folder),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_pages_are_followed_once_each_and_kept(site: Site, tmp_path: Path) -> None:
    site.page("/robots.txt", "User-agent: *\nDisallow: /private")
    site.page("/1", "<title>One &amp; only</title><link rel='next' href='/2#top'>")
    site.page("/2", "<a href='/3'> Next › </a><a href='/1'>1</a>")
    site.page("/3", "<a rel=next href='/1'>on</a>")
    code, pages = fetch(tmp_path, f"{site.url}/1", "--follow")
    assert code == 0
    assert [page["title"] for page in pages] == ["One & only", "", ""]
    assert site.asked == ["/robots.txt", "/1", "/2", "/3"]
    assert (tmp_path / "0002.html").read_text().startswith("<a href='/3'>")
    code, pages = fetch(tmp_path, f"{site.url}/1", "--follow", "--most", "2")
    assert [page.get("cached") for page in pages] == [True, True]
    assert len(site.asked) == 4, "nothing was fetched again"


def test_robots_are_obeyed_also_after_a_redirect(site: Site, tmp_path: Path) -> None:
    site.page("/robots.txt", "User-agent: *\nDisallow: /private\nAllow: /private/hall\nDisallow: /*.pdf$")
    site.page("/private/x", "secret")
    site.page("/open", "", 302, Location="/private/x")
    site.page("/moved", "", 301, Location="/fine")
    site.page("/fine", "<title>Fine</title>")
    urls = [f"{site.url}{path}" for path in ("/private/x", "/open", "/moved")]
    code, pages = fetch(tmp_path, *urls)
    assert code == 1
    assert [page.get("error") for page in pages] == ["refused by robots.txt", "refused by robots.txt", None]
    assert pages[2]["url"] == f"{site.url}/fine"
    assert "/private/x" not in site.asked
    site.page("/private/hall", "open")
    urls = [f"{site.url}{path}" for path in ("/private/hall", "/a/b.pdf", "/a/b.pdf.html?x=%2Fprivate")]
    _, pages = fetch(tmp_path, *urls)
    assert [page.get("error", page.get("status")) for page in pages] == [200, "refused by robots.txt", 404]


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, False), (401, False), (500, False)])
def test_rules_that_cannot_be_read(site: Site, tmp_path: Path, status: int, allowed: bool) -> None:
    site.page("/robots.txt", "x", status)
    site.page("/a", "<title>A</title>")
    _, (page,) = fetch(tmp_path, f"{site.url}/a")
    assert ("error" not in page) is allowed


def test_a_busy_site_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.page("/robots.txt", "", 404)
    site.page("/a", "later", 503, Retry_After="0")
    site.page("/a", "<title>A</title>")
    _, (page,) = fetch(tmp_path, f"{site.url}/a")
    assert (page["status"], page["title"]) == (200, "A")


def test_what_cannot_be_fetched_is_told(site: Site, tmp_path: Path) -> None:
    site.page("/robots.txt", "", 404)
    site.page("/loop", "", 302, Location="/loop")
    site.page("/huge", "x" * (21 << 20))
    site.page("/elsewhere", "", 302, Location="file:///etc/passwd")
    addresses = [f"{site.url}/{name}" for name in ("loop", "huge", "elsewhere", "gone")]
    code, pages = fetch(tmp_path, *addresses, "file:///etc/passwd", "http://127.0.0.1:1/x", "nonsense")
    assert code == 1
    told = [page.get("error", page.get("status")) for page in pages]
    assert told[:5] == ["redirected more than 5 times", "larger than 20 MB", "not an http(s) address", 404,
                        "not an http(s) address"]  # fmt: skip
    assert str(told[5]).startswith("not reached")
    assert told[6] == "not an http(s) address"


def extract(path: Path, *options: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-I",
        str(SCRIPTS / "extract.py"),
        str(path),
        "--out",
        str(path.parent),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_tables_become_csv_with_their_spans(tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text(
        "<table><caption>The <b>list</b></caption><tr><th rowspan=2>City<th colspan=2>Hours</tr><tr><td>from<td>to</tr>"
        "<tr><td>Köln<script>bad()</script><td>9<td>18<br>or 20</tr><tr><td>Bonn, \"B\"</table>"
        "<table><tr><td>layout</table><table></table>"
        "<table><tr><td>a<table><tr><td>in</td></tr><tr><td>ner</td></tr></table><td>b</tr><tr><td>c<td>d</table>"
    )  # fmt: skip
    first, outer, inner = extract(tmp_path / "p.html")["tables"]
    assert (first["caption"], first["rows"], first["columns"]) == ("The list", 3, ["City", "Hours", "Hours"])
    with Path(first["csv"]).open(encoding="utf-8") as file:
        assert list(csv.reader(file))[1:] == [
            ["City", "from", "to"],
            ["Köln", "9", "18 or 20"],
            ['Bonn, "B"', "", ""],
        ]
    assert (outer["columns"], outer["first"]) == (["a", "b"], [["c", "d"]])
    assert inner["columns"] == ["in"]


def test_links_are_whole_addresses(tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text("<a href='/x'>The <b>x</b></a> and more <a href='y.pdf'></a><a>none</a>")
    found = extract(tmp_path / "p.html", "--links", "--base", "https://a.example/b/")
    assert found["links"] == [
        {"text": "The x", "href": "https://a.example/x"}, {"text": "", "href": "https://a.example/b/y.pdf"},
    ]  # fmt: skip


def test_hostile_pages_end(tmp_path: Path) -> None:
    cell = "<td rowspan=999999 colspan=999999>x"
    (tmp_path / "p.html").write_text(
        "<table>" * 2_000 + f"<tr>{cell}<tr>{cell}" + "<p" * 1_000 + "\0</table>"
    )
    assert extract(tmp_path / "p.html")["file"].endswith("p.html")
    (tmp_path / "q.html").write_bytes(bytes(range(256)) * 100)
    assert extract(tmp_path / "q.html")["tables"] == []
