"""The list of figures, the modules that measure them and the document agree."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from benchmarks.catalogue import PARTS, names
from benchmarks.document import PLACE, row, text
from benchmarks.figure import Figure, percentile, skipped

ROOT = Path(__file__).parent.parent


def test_the_document_has_every_figure_and_no_other() -> None:
    documented = re.findall(r"^\| (?!figure|---)(.+?) \|", PLACE.read_text(encoding="utf-8"), re.MULTILINE)
    assert documented == names()


def test_every_part_can_be_measured_and_every_module_is_a_part() -> None:
    for part in PARTS:
        assert callable(importlib.import_module(f"benchmarks.{part.name}").figures)
    helpers = {"__init__", "__main__", "catalogue", "document", "figure", "environments"}
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - helpers
    assert modules == {part.name for part in PARTS}
    assert len(names()) == len(set(names()))


@pytest.mark.parametrize(
    ("goal", "value", "holds"),
    [
        ("≤ 1.3", 1.3, True),
        ("≥ 0.9", 0.8, False),
        ("< 1.5", 1.5, False),
        ("= 100", 100, True),
        ("= 100", 99, False),
        ("", 1, None),
    ],
)
def test_a_goal_is_compared(goal: str, value: float, holds: bool | None) -> None:
    assert Figure("f", value, "×", "r", goal, "").holds is holds


def test_what_was_not_measured_says_why_and_holds_nothing() -> None:
    figure = skipped("f", "no network", "≤ 1")
    assert figure.holds is None and figure.row()["value"] is None
    assert row(figure.row()) == "| f | – | ≤ 1 |  | not measured: no network |"
    assert "| f |" not in text([figure.row()]), "only what the catalogue lists"


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([5, 1, 3], 0.95) == 5 and percentile(list(range(100)), 0.95) == 95
