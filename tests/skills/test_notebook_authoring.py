"""The notebook-authoring skill: scripts become notebooks that run, and what is wrong with one is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

SCRIPTS = Path(__file__).parents[2] / "skills/notebook-authoring/scripts"
STORY = '''\
# %% [markdown]
# # Do squares grow?
#
# **Yes.**

# %%
import math
squares = [n * n for n in range(5)]

# %% [markdown]
"""
## How much
"""
# %%
print(math.isqrt(squares[-1]))
'''


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def check(path: Path, *options: str) -> dict[str, Any]:
    done = script("check_notebook.py", path, *options)
    assert done.stderr == "" or done.returncode < 2, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == bool(found["problems"])
    return found


def write(path: Path, *cells: Any) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell


def test_a_script_becomes_a_notebook_that_runs_and_back(tmp_path: Path) -> None:
    (tmp_path / "story.py").write_text(STORY)
    done = script("assemble.py", tmp_path / "story.py", "--out", tmp_path / "story.ipynb")
    assert done.stdout == f"{tmp_path}/story.ipynb: 4 cells\n"
    first = (tmp_path / "story.ipynb").read_bytes()
    found = check(tmp_path / "story.ipynb", "--run", "--write")
    assert (found["ran"], found["problems"], found["cells"]) == (True, [], 4)
    notebook = nbformat.read(tmp_path / "story.ipynb", as_version=4)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "markdown", "code"]
    assert notebook.cells[0].source == "# Do squares grow?\n\n**Yes.**"
    assert notebook.cells[3].outputs[0].text == "4\n"
    script("assemble.py", tmp_path / "story.ipynb", "--out", tmp_path / "again.py")
    script("assemble.py", tmp_path / "again.py", "--out", tmp_path / "again.ipynb")
    assert (tmp_path / "again.ipynb").read_bytes() == first


def test_a_cell_that_needs_another_order_fails_in_a_fresh_kernel(tmp_path: Path) -> None:
    path = write(tmp_path / "n.ipynb", text("# Title"), code("print(later)"), code("later = 1"))
    before = path.read_bytes()
    found = check(path, "--run")
    assert found["ran"] is False
    assert found["problems"] == [{"cell": 2, "problem": "raises NameError: name 'later' is not defined"}]
    assert path.read_bytes() == before, "without --write it stays as it was"


def test_everything_wrong_is_named_with_its_cell(tmp_path: Path) -> None:
    ran = [code("a = 1", execution_count=7), code("import os", execution_count=3)]
    output = nbformat.v4.new_output("stream", text="x" * 2_000_000)
    path = write(
        tmp_path / "n.ipynb", *ran, code("b = 1\n" * 41), code("open('/home/me/x.csv')"), code("def"),
        code("api_key = 'abcdef123456'"), code("%pip install x\nfrom os import *"), code(" "),
        text("words"), code("%%bash\nls"), code("c", outputs=[output]),
    )  # fmt: skip
    found = {(problem["cell"], problem["problem"]) for problem in check(path)["problems"]}
    assert found == {
        (0, "does not begin with a title (`# …`) that says what it is about"),
        (0, "7 code cells were not run, others were"),
        (2, "was run out of order: its result may be of other code"),
        (2, "imports in the middle: move it to the first code cell"),
        (3, "has more than 40 lines"),
        (4, "names a path of one machine: /home/me/x.csv"),
        (5, "is no Python: invalid syntax"),
        (6, "looks like a secret: read it from the environment"),
        (7, "7 code cells without a word between them"),
        (7, "imports in the middle: move it to the first code cell"),
        (7, "imports everything from os: say which names"),
        (8, "is empty"),
        (11, "the output has 2.0 MB"),
    }


CHECK, ASSEMBLE = ["check_notebook.py"], ["assemble.py", "--out", "/nowhere/x.py"]


@pytest.mark.parametrize(
    ("command", "data"),
    [(CHECK, b""), (ASSEMBLE, b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5}'), (CHECK, b"\xff")],
)
def test_what_is_no_notebook_is_one_sentence(tmp_path: Path, command: list[str], data: bytes) -> None:
    (tmp_path / "n.ipynb").write_bytes(data)
    done = script(command[0], tmp_path / "n.ipynb", *command[1:])
    assert (done.returncode in (1, 2), done.stdout) == (True, "")
    assert "is no notebook" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_source_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(STORY)
    done = script("assemble.py", tmp_path / "a.py", "--out", tmp_path / "a.py")
    assert (done.returncode, (tmp_path / "a.py").read_text()) == (1, STORY)
    (tmp_path / "empty.py").write_text("\n")
    done = script("assemble.py", tmp_path / "empty.py", "--out", tmp_path / "b.ipynb")
    assert done.stderr == f"{tmp_path}/empty.py: it has no cells\n"
