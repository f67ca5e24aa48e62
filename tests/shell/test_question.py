"""Prompts that end in a question mark are prompts, not requests for IPython's help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import agent_kernel


@pytest.fixture
def ip() -> Iterator[Any]:
    shell = InteractiveShell.instance()
    agent_kernel.load_ipython_extension(shell)
    yield shell
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("cell", "prompt"),
    [
        ("%agent What is it?", "What is it?"),
        ("run = %agent What is it??", "What is it??"),
        ("if True:\n    %agent Don't you think so?", "Don't you think so?"),
        ('x = 1\nr["a"] = %agent --new Is "x" 1?\ny = 2', '--new Is "x" 1?'),
        ("%agent No question", "No question"),
        ("%agent What is 5 % 3?", "What is 5 % 3?"),
    ],
)
def test_the_whole_prompt_arrives(ip: Any, cell: str, prompt: str) -> None:
    assert f"run_line_magic('agent', {prompt!r})" in ip.transform_cell(cell)


@pytest.mark.parametrize("cell", ["%agent?", "%timeit?", "len?"])
def test_help_is_still_help(ip: Any, cell: str) -> None:
    assert "pinfo" in ip.transform_cell(cell)


@pytest.mark.parametrize("cell", ['text = """\n%agent Who?\n"""\n', "x = 5 %agent\n"])
def test_other_code_stays_as_it_is(ip: Any, cell: str) -> None:
    assert ip.transform_cell(cell) == cell


def test_a_cell_magic_may_ask_on_its_first_line(ip: Any) -> None:
    assert "run_cell_magic('agent', 'What is it?', 'Really?\\n')" in ip.transform_cell(
        "%%agent What is it?\nReally?"
    )
