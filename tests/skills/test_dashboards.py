"""The dashboards skill: what its program says of a file, and its page in a real browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.browser import lab

SCRIPT = Path(__file__).parents[2] / "skills/dashboards/scripts/dashboard.py"
HOSTILE = "<img src=x onerror=window.bad=1>"


@contextmanager
def dashboard(path: Path, *options: str) -> Iterator[str]:
    """Its address while it runs."""
    command = [sys.executable, "-I", str(SCRIPT), str(path), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def get(url: str, **headers: str) -> httpx2.Response:
    return httpx2.get(url, headers=headers, trust_env=False, timeout=60)


def orders(path: Path) -> Path:
    lines = [
        f"2025-{1 + n // 28:02}-{1 + n % 28:02},{'North' if n % 2 else 'South'},{n},2.5" for n in range(100)
    ]
    path.write_text("day,region,amount,price\n" + "\n".join(lines) + "\n")
    return path


def test_it_finds_out_what_the_columns_are_and_follows_the_file(tmp_path: Path) -> None:
    path = orders(tmp_path / "orders.csv")
    with dashboard(path, "--title", "Orders", "--mean", "amount") as url:
        first = get(f"{url}data.json")
        data = first.json()
        assert (data["title"], data["total"], data["shown"]) == ("Orders", 100, 100)
        assert data["columns"] == [
            {"name": "day", "type": "date"}, {"name": "region", "type": "group"},
            {"name": "amount", "type": "number", "how": "mean"}, {"name": "price", "type": "number", "how": "mean"},
        ]  # fmt: skip
        assert data["rows"][1] == ["2025-01-02", "North", 1.0, 2.5]
        tag = first.headers["ETag"]
        assert get(f"{url}data.json", **{"If-None-Match": tag}).status_code == 304
        with path.open("a") as file:
            file.write("2025-12-31,,NaN\n")
        assert get(f"{url}data.json", **{"If-None-Match": tag}).json()["rows"][-1] == [
            "2025-12-31",
            None,
            None,
            None,
        ]
        path.unlink()
        gone = get(f"{url}data.json")
        assert (gone.status_code, gone.json()) == (503, {"error": "No such file or directory"})
        assert "default-src 'none'" in get(url).headers["Content-Security-Policy"]
        for other in ("../dashboard.py", "etc/passwd", "%2e%2e/x"):
            assert get(url + other).status_code == 404


@pytest.mark.parametrize(
    ("name", "text", "columns", "rows"),
    [
        ("t.json", '{"data": [{"a": 1, "b": [2]}, {"c": true}, 7]}', 3, [[1.0, "[2]", None], [None, None, "True"]]),
        ("t.jsonl", '{"a": "x"}\n\n{"a": 1e999}\n', 1, [["x"], ["inf"]]),
        ("t.csv", "a;b\n1;x;3\n\n2\n", 2, [[1.0, "x"], [2.0, None]]),
        ("t.csv", "", 0, []),
        ("t.csv", "a" + ",b" * 99 + "\n", 40, []),
    ],
)  # fmt: skip
def test_other_formats_and_odd_files(
    tmp_path: Path, name: str, text: str, columns: int, rows: list[Any]
) -> None:
    (tmp_path / name).write_text(text)
    with dashboard(tmp_path / name) as url:
        data = get(f"{url}data.json").json()
    assert (len(data["columns"]), data["rows"]) == (columns, rows)


def test_a_long_file_is_shown_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(45_000)))
    with dashboard(tmp_path / "t.csv") as url:
        data = get(f"{url}data.json").json()
    assert (data["total"], data["shown"], data["rows"][-1]) == (45_000, 20_000, [44_999.0])


def test_what_cannot_be_shown_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{")
    orders(tmp_path / "t.csv")
    for arguments, said in (
        ([str(tmp_path / "gone.csv")], f"{tmp_path}/gone.csv cannot be used: No such file or directory\n"),
        ([str(tmp_path / "t.json")], "cannot be shown: not JSON"),
        ([str(tmp_path / "t.csv"), "--port", "99999"], "port 99999 cannot be used"),
    ):
        done = subprocess.run(
            [sys.executable, "-I", str(SCRIPT), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.browser
def test_the_page_filters_sorts_follows_and_shows_hostile_text_as_text(tmp_path: Path) -> None:
    path = orders(tmp_path / "orders.csv")
    path.write_text(path.read_text() + f'2025-06-01,"{HOSTILE}",1000,1\n')
    errors: list[str] = []
    with (
        dashboard(path, "--title", HOSTILE) as url,
        lab.browser(viewport={"width": 1000, "height": 800}) as context,
    ):
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector(".tile .value")
        assert page.text_content("h1") == HOSTILE
        assert page.evaluate("[window.bad, document.images.length]") == [None, 0]
        figures = "[...document.querySelectorAll('.tile .value')].map(node => node.textContent)"
        assert page.evaluate(figures) == ["101", "5.95K", "2.485"]
        page.click(".bar:has-text('North')")
        assert page.evaluate(figures)[:2] == ["50", "2.5K"]
        assert page.evaluate("document.querySelectorAll('.bar').length") == 3, (
            "the others can still be chosen"
        )
        page.click("#clear")
        page.click("th button:has-text('amount')")
        assert page.text_content("tbody tr td:nth-child(3)") == "1,000"
        page.fill("input[type=search]", "2025-02-01")
        assert page.evaluate(figures)[0] == "1"
        with path.open("a") as file:
            file.write("2025-02-01,North,5,1\n")
        page.wait_for_selector(".tile:first-child .value:text-is('2')", timeout=60_000)
        assert page.get_attribute("#state", "class") == ""
        path.write_text("x\n")
        page.wait_for_selector("tr:has(th:only-child)", timeout=60_000)
        path.unlink()
        page.wait_for_selector("#state.bad:has-text('No such file')", timeout=60_000)
    assert errors == []
