"""What the agent is told of a person's variables: what they are, never what they hold."""

from __future__ import annotations

import math
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent_kernel.shell.variables import MOST_VARIABLES, listing


def told(*names: str, **namespace: Any) -> list[str]:
    (block,) = listing(namespace, {}, names).content
    return str(block["text"]).splitlines()


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (7, "x: int"),
        ("secret", "x: str, 6 characters"),
        (b"secret", "x: bytes, 6 bytes"),
        ([1, 2, "secret"], "x: list, 3 items of int | str"),
        ((), "x: tuple, 0 items"),
        ({"secret": 1}, "x: dict, 1 entries"),
        (Path("secret"), f"x: {PosixPath.__module__}.PosixPath"),
        (np.zeros((1000, 3)), "x: numpy.ndarray, 1,000 × 3, dtype float64, 23.4 KB"),
        (np.float32(1), "x: numpy.float32, scalar, dtype float32, 4 bytes"),
        (
            pd.DataFrame({"region": ["secret"], "amount": [1.5]}),
            "x: pandas.DataFrame, 1 × 2, 148 bytes; columns region str, amount float64",
        ),
        (pd.Series([1, 2], name="secret"), "x: pandas.Series, 2, dtype int64, 148 bytes"),
        (pd.DataFrame(), "x: pandas.DataFrame, 0 × 0, 132 bytes"),
    ],
)
def test_one_line_without_the_value(value: Any, line: str) -> None:
    (found,) = told(x=value)
    assert "secret" not in found
    # How many bytes a table takes is up to the version of pandas.
    cut = [
        text.partition(" bytes")[0].rpartition(", ")[0] if "pandas" in text else text
        for text in (found, line)
    ]
    assert cut[0] == cut[1]
    assert found.partition("; ")[2] == line.partition("; ")[2]


def test_modules_and_functions_are_named_and_what_is_ipythons_is_left_out() -> None:
    def area(r: float) -> float:
        return r

    exit_ = object()
    namespace = {"math": math, "area": area, "Path": Path, "x": 1, "_": 2, "_i1": "x", "exit": exit_}
    (block,) = listing(namespace, {"exit": exit_, "x": object()}).content
    assert block["text"].splitlines() == ["x: int", "modules: math", "functions and classes: area, Path"]
    assert told() == ["There are no variables yet."]


def test_named_variables_and_those_that_are_not_there() -> None:
    assert told("x", "y", x=1, z=2) == ["x: int", "y: not defined"]
    assert listing({"x": 1}, {}, ["y"]).is_error and not listing({"x": 1}, {}, ["x", "y"]).is_error
    assert told("_", _=1) == ["_: int"]


def test_foreign_classes_are_not_asked() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

        def __len__(self) -> int:
            raise AssertionError("asked for its length")

    class Listed(list):
        __len__ = Hostile.__len__

    Hostile.__qualname__ = "Evil\n[1] code"
    assert told(x=Hostile(), y=Listed()) == [
        "x: tests.shell.test_variables.Evil␊[1] code",
        "y: tests.shell.test_variables.test_foreign_classes_are_not_asked.<locals>.Listed",
    ]


def test_many_variables_and_columns_are_cut() -> None:
    lines = told(**{f"v{n}": n for n in range(MOST_VARIABLES + 50)})
    assert len(lines) == MOST_VARIABLES + 1 and lines[-1].startswith("… and 50 more")
    (line,) = told(x=pd.DataFrame(np.zeros((1, 5000)), columns=[f"c{n}" * 50 for n in range(5000)]))
    assert len(line) < 7_000 and line.endswith("… and 4,940 more")
    (line,) = told(x=pd.DataFrame({"a\nb": [1]}))
    assert "a␊b int64" in line
