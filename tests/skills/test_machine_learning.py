"""The machine-learning skill: its baseline finds what is there, and warns of what is too good."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "skills/machine-learning/scripts/baseline.py"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def module() -> ModuleType:
    """The script, imported once: scikit-learn takes its time."""
    spec = importlib.util.spec_from_file_location("baseline_script", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status, output and errors of the script with these arguments."""

    def call(path: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["baseline.py", str(path), *arguments])
        code: int = module.main()
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def baseline(run: Run) -> Callable[..., dict[str, Any]]:
    def call(path: Path, *arguments: str) -> dict[str, Any]:
        code, out, err = run(path, *arguments)
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        return found

    return call


Baseline = Callable[..., dict[str, Any]]


def write(path: Path, header: str, rows: list[Any]) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_a_class_that_can_be_told_is_told_and_a_leak_is_named(tmp_path: Path, baseline: Baseline) -> None:
    chance = random.Random(1)
    rows = []
    for number in range(160):
        months, kind = chance.uniform(0, 24), chance.choice(["a", "b", ""])
        left = chance.random() < (0.9 if months < 8 else 0.1)
        rows.append([f"id{number}", months, kind, chance.random(), "yes" if left else "no", left * 3 + 1])
    path = write(tmp_path / "c.csv", "id,months,kind,noise,left,refund", rows)
    found = baseline(path, "--target", "left")
    assert any(text.startswith("refund alone predicts left") for text in found["warnings"])
    assert "every value of id is different: left out as an identifier" in found["warnings"]
    found = baseline(path, "--target", "left", "--drop", "refund", "id")
    assert (found["task"], found["metric"], found["warnings"]) == ("classification", "balanced_accuracy", [])
    assert found["scores"]["guess"]["mean"] == 0.5
    assert 0.75 < found["test"] < 0.98
    assert found["relies_on"][0]["column"] == "months"
    assert (found["rows"], found["held_out"]) == (160, 32)


def test_noise_is_not_better_than_guessing_where_groups_stay_together(
    tmp_path: Path, baseline: Baseline
) -> None:
    chance = random.Random(2)
    rows = []
    for person in range(30):  # everything about a person is the same in each of their rows
        own, value = chance.random(), chance.gauss(0, 1)
        rows += [[person, own, value + chance.gauss(0, 0.01)] for _ in range(6)]
    path = write(tmp_path / "g.csv", "person,own,value", rows)
    shuffled = baseline(path, "--target", "value", "--drop", "person")
    grouped = baseline(path, "--target", "value", "--group", "person")
    assert shuffled["task"] == grouped["task"] == "regression"
    assert shuffled["test"] > 0.5, "shuffling tells each person's rows to the other side"
    assert grouped["test"] < 0.2
    assert grouped["split"] == "groups of person"


def test_what_has_a_time_is_predicted_from_its_past(tmp_path: Path, baseline: Baseline) -> None:
    rows = [
        [f"2024-01-{1 + n % 28:02}T{n // 28:02}:00", n % 28 + n / 100, (n % 28) * 2.5] for n in range(140)
    ]
    random.Random(3).shuffle(rows)
    found = baseline(write(tmp_path / "t.csv", "at,level,value", rows), "--target", "value", "--time", "at")
    assert found["split"] == "the past predicts what follows"
    shuffled = baseline(tmp_path / "t.csv", "--target", "value", "--drop", "at")
    assert found["scores"]["guess"]["mean"] < -1 < shuffled["scores"]["guess"]["mean"], (
        "later ones are larger"
    )


by_group, by_time = ["--target", "b", "--group", "a"], ["--target", "b", "--time", "a"]


@pytest.mark.parametrize(
    ("header", "rows", "arguments", "said"),
    [
        ("a,b", [[1, 2]] * 5, ["--target", "b"], "5 rows with a b are too few; 30 is the least"),
        ("a,b", [[n, 1] for n in range(50)], ["--target", "b"], "b has only one value"),
        ("a,b", [[n % 7, n % 2] for n in range(50)], ["--target", "c"], "there is no column 'c'; there is: a, b"),
        ("a,b", [[1, n % 2] for n in range(50)], ["--target", "b"], "no column is left to predict from"),
        ("a,b", [[n % 7, f"w{n}"] for n in range(50)], ["--target", "b"], "that is no target"),
        ("a,b", [[n % 3, n % 2] for n in range(50)], by_group, "3 groups"),
        ("a,b,c", [[n % 3, n % 2, n % 5] for n in range(50)], by_group, "3 groups are too few"),
        ("a,b,c", [["x", n % 2, n % 5] for n in range(50)], by_time, "50 values of a are no times"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_one_sentence(
    run: Run, tmp_path: Path, header: str, rows: list[Any], arguments: list[str], said: str
) -> None:
    code, out, err = run(write(tmp_path / "x.csv", header, rows), *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_it_is_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(SCRIPT), str(tmp_path / "gone.csv"), "--target", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == f"{tmp_path}/gone.csv cannot be read: No such file or directory\n"
