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
