"""The data-analysis skill: its format, and its script on real files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SKILL = Path(__file__).parents[2] / "skills" / "data-analysis"


def profile(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-I", str(SKILL / "scripts" / "profile.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_its_frontmatter_names_its_folder() -> None:
    _, head, body = (SKILL / "SKILL.md").read_text().split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert fields["name"] == SKILL.name
    assert 0 < len(fields["description"]) <= 1024
    assert "scripts/profile.py" in body


@pytest.mark.parametrize(
    ("text", "rows", "types"),
    [
        ("", 0, []),
        ("a,b\n", 0, ["empty", "empty"]),
        ("a,b\n1,x\n2.5,y\n,z\n", 3, ["number", "text"]),
        ("ä;🦊\n1;2\n", 1, ["number", "number"]),
        ('a,b\n"x\ny",1\n"z, ""q""",2\n', 2, ["text", "number"]),
        ("a,b\n1\n1,2,3\n", 2, ["number", "number"]),
    ],
)
def test_it_counts_and_types_what_is_there(tmp_path: Path, text: str, rows: int, types: list[str]) -> None:
    (tmp_path / "t.csv").write_text(text)
    found = profile(tmp_path / "t.csv")
    assert (found["rows"], [column["type"] for column in found["columns"]]) == (rows, types)


def test_figures_are_true(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1, 10_002)))
    (column,) = profile(tmp_path / "t.csv")["columns"]
    assert (column["min"], column["max"], column["mean"], column["missing"]) == (1, 10001, 5001, 0)


def test_a_huge_field_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "x" * 5_000_000 + "\n")
    assert profile(tmp_path / "t.csv")["rows"] == 1
    with pytest.raises(subprocess.CalledProcessError):
        profile(tmp_path / "gone.csv")


def test_a_spread_loses_no_digits_far_from_zero(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n\n1000000000001\n1000000000002\n1000000000003\n")
    (column,) = profile(tmp_path / "t.csv")["columns"]
    assert (column["mean"], column["std"]) == (1000000000002, 1)


def test_what_only_looks_like_a_number_is_text_and_the_output_stays_json(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\ninf,1_000,7\n1e999,2_000,abc\n")
    columns = profile(tmp_path / "t.csv")["columns"]
    assert [column["type"] for column in columns] == ["text", "text", "text"]
    assert [column.get("numbers_among_text") for column in columns] == [None, None, 1]


def test_days_and_times_are_dates_with_a_first_and_a_last(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "d,e\n2024-02-29,2024-01-01\n2023-12-31T23:59:00,2024-02-30\n,2024-01-02\n"
    )
    day, wrong = profile(tmp_path / "t.csv")["columns"]
    assert (day["type"], day["min"], day["max"]) == ("date", "2023-12-31T23:59:00", "2024-02-29")
    assert wrong["type"] == "text"


def test_distinct_values_are_counted_up_to_a_bound_that_is_told(tmp_path: Path) -> None:
    for count, exact in ((10_000, True), (10_001, False)):
        (tmp_path / "t.csv").write_text("n\n" + "".join(f"w{n}\n" for n in range(count)))
        (column,) = profile(tmp_path / "t.csv")["columns"]
        assert (column["distinct"], column["distinct_is_exact"]) == (10_000, exact)


def test_many_long_values_are_not_all_held(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w") as file:
        file.write("a\n")
        file.writelines(f"{n}" + "x" * 500_000 + "\n" for n in range(400))
    limited = (
        f"ulimit -v 150000; exec {sys.executable} -I {SKILL / 'scripts' / 'profile.py'} {tmp_path / 't.csv'}"
    )
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=True)
    (column,) = json.loads(done.stdout)["columns"]
    assert column["distinct"] == 400


def test_ragged_rows_null_bytes_and_invalid_utf8_are_read_on(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1\r\n1,2,3\r\n\xff\0x,4\r\n")
    found = profile(tmp_path / "t.csv")
    assert (found["rows"], found["ragged"]) == (3, 2)
    assert [column["name"] for column in found["columns"]] == ["a", "b"]


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(SKILL / "scripts" / "profile.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path} cannot be read: Is a directory\n"
