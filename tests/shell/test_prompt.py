"""What `{expression}` and `@path` in a prompt become."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.shell.prompt import PromptError, expand


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sales.csv").write_text("region,amount\nnorth,3\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my file.txt").write_text("hello")
    return tmp_path


def test_short_values_stand_in_the_sentence(folder: Path) -> None:
    names = {"n": 42, "name": "north", "shape": (3, 2)}
    assert expand("Take {n} of {name}, {shape}.", names, folder) == "Take 42 of north, (3, 2)."


def test_a_data_frame_becomes_its_summary_never_the_whole(folder: Path) -> None:
    import pandas as pd

    df = pd.DataFrame({"amount": range(100_000), "region": ["north"] * 100_000})
    text = expand("Chart {df}, please.", {"df": df}, folder)
    assert text.startswith("Chart `df`, please.\n\nValue of `df`")
    for part in ("100,000 rows × 2 columns", "amount: int64", "first 5 rows", "0,north"):
        assert part in text
    assert len(text) < 1_500


def test_expressions_are_evaluated(folder: Path) -> None:
    assert expand("{len(items) + 1} things", {"items": [1, 2]}, folder) == "3 things"


@pytest.mark.parametrize(
    "text",
    [
        'Send {"a": {"b": n}} as JSON',
        "The set {1, 2, 3} and {a, b}",
        r"Solve $\frac{n}{m} + x_{n} + e^{n}$",
        "Run `echo {n}` in a shell",
        "```python\nprint({n})\n```",
        'Write f"{n:>5} {n}" there',
        "GET /users/{id}/posts and ${n}",
        "Fill in {something_else}",
        "An open { brace",
        "{n:.2f}",
        "{}",
        "{lambda: n}",
    ],
)
def test_braces_that_are_not_ours_stay_as_typed(text: str, folder: Path) -> None:
    assert expand(text, {"n": 42, "a": 1, "b": 2, "m": 3}, folder) == text


def test_double_braces_are_literal(folder: Path) -> None:
    assert expand("A {{n}} here, {n} there", {"n": 1}, folder) == "A {n} here, 1 there"


def test_an_expression_that_fails_is_one_sentence(folder: Path) -> None:
    with pytest.raises(PromptError) as caught:
        expand("Look at {df['x']}", {"df": {}}, folder)
    assert str(caught.value) == (
        "{df['x']} in the prompt failed: KeyError: 'x'. Nothing was run. Write {{…}} for literal braces."
    )


def test_a_misspelt_variable_is_noticed(folder: Path) -> None:
    with pytest.raises(PromptError, match="'slaes' is not defined; did you mean 'sales'"):
        expand("Chart {slaes}", {"sales": 1}, folder)


def test_values_with_hostile_methods_are_only_named(folder: Path) -> None:
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "its summary failed: RuntimeError: no" in expand("{bad}", {"bad": Bad()}, folder)


def test_long_text_is_capped_and_cannot_close_its_block(folder: Path) -> None:
    text = expand("{log}", {"log": "```\n" * 10_000}, folder)
    assert "characters left out" in text
    assert "````" in text and len(text) < 6_000


def test_a_small_file_is_attached(folder: Path) -> None:
    assert expand("Profile @sales.csv.", {}, folder) == (
        "Profile `sales.csv`.\n\nFile `sales.csv`:\n```\nregion,amount\nnorth,3\n```"
    )


def test_a_name_with_spaces_can_be_quoted(folder: Path) -> None:
    assert "hello" in expand('See @"data/my file.txt"', {}, folder)


def test_folders_are_listed(folder: Path) -> None:
    assert "my file.txt" in expand("What is in @data/?", {}, folder)


def test_of_a_large_file_only_the_beginning_is_attached(folder: Path) -> None:
    (folder / "big.csv").write_text("a,b\n" + "1,2\n" * 100_000)
    text = expand("@big.csv", {}, folder)
    assert "(its beginning; 390.6 KB in all)" in text and len(text) < 5_000


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"\xff\xfe\xfa" * 10])
def test_binary_files_are_named_with_their_size(folder: Path, content: bytes) -> None:
    (folder / "blob.bin").write_bytes(content)
    assert expand("Read @blob.bin!", {}, folder) == f"Read `blob.bin` (binary, {len(content)} bytes)!"


@pytest.mark.parametrize(
    "text",
    ["mail me@example.org", "use @property", "@app.route('/')", "npm i @types/node", "cc @ada", "a @ b"],
)
def test_what_is_not_a_path_stays_as_typed(text: str, folder: Path) -> None:
    assert expand(text, {}, folder) == text


def test_a_missing_file_is_one_sentence_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(PromptError, match=r"@slaes.csv: there is no such file .* Did you mean sales.csv\?"):
        expand("Profile @slaes.csv", {}, folder)


@pytest.mark.parametrize("typed", ["@/etc/hostname", "@../secret.txt", "@link.txt"])
def test_files_outside_the_workspace_are_refused(folder: Path, typed: str) -> None:
    (folder.parent / "secret.txt").write_text("secret")
    os.symlink(folder.parent / "secret.txt", folder / "link.txt")
    with pytest.raises(PromptError, match="outside the workspace"):
        expand(f"Read {typed}", {}, folder)


def test_a_fifo_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    with pytest.raises(PromptError, match="neither a file nor a folder"):
        expand("Read @pipe.txt", {}, folder)


def test_what_a_value_holds_is_not_expanded_again(folder: Path) -> None:
    names: dict[str, Any] = {"text": "{n} and @sales.csv", "n": 1}
    assert expand("Say {text}", names, folder) == "Say {n} and @sales.csv"
