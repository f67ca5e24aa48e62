"""What changed in a notebook, told by its cells."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pytest

from agent_kernel.sandbox.diffs import file_change

v4 = nbformat.v4


def notebook(*cells: Any, **metadata: Any) -> bytes:
    return str(nbformat.writes(v4.new_notebook(cells=list(cells), metadata=metadata))).encode()


def change(before: bytes | None, after: bytes | None) -> Any:
    existed, exists = before is not None, after is not None
    return file_change("a.ipynb", before or b"", after or b"", existed=existed, exists=exists)


def code(name: str, source: str, *outputs: Any) -> Any:
    return v4.new_code_cell(source, id=name, outputs=list(outputs))


def test_cells_that_were_edited_inserted_deleted_and_moved_are_shown_as_text() -> None:
    before = notebook(
        code("a", "x = 1\ny = 2"), code("b", "gone"), code("c", "c"), code("d", "d"), code("e", "e")
    )
    after = notebook(
        v4.new_markdown_cell("# New", id="n"),
        code("a", "x = 10\ny = 2"),
        code("d", "d"),
        code("e", "e"),
        code("c", "c"),
    )
    done = change(before, after)
    assert done.diff.splitlines() == [
        "--- a/a.ipynb",
        "+++ b/a.ipynb",
        "@@ inserted: markdown cell n @@",
        "+# New",
        "@@ edited: code cell a @@",
        "-x = 1",
        "+x = 10",
        " y = 2",
        "@@ deleted: code cell b @@",
        "-gone",
        "@@ moved: code cell c @@",
    ]
    assert (done.added, done.removed) == (2, 2)


def test_outputs_and_metadata_are_named() -> None:
    printed = v4.new_output("stream", text="1" * 10_000)
    done = change(notebook(code("a", "x")), notebook(code("a", "x", printed), title="Tea"))
    assert "111" not in done.diff
    assert done.diff.splitlines()[2] == "@@ outputs changed: code cell a @@"
    assert '+  "title": "Tea"' in done.diff


def test_cells_without_ids_are_known_by_what_they_say() -> None:
    def old(*sources: str) -> bytes:
        cells = [{"cell_type": "code", "source": source, "outputs": [], "metadata": {}} for source in sources]
        return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}).encode()

    done = change(old("a", "b", "c"), old("a", "B", "new", "c"))
    assert done.diff.splitlines()[2:] == [
        "@@ edited: code cell 2 @@", "-b", "+B", "@@ inserted: code cell 3 @@", "+new",
    ]  # fmt: skip


def test_a_new_notebook_and_one_that_is_gone_are_all_their_cells() -> None:
    made = notebook(code("a", "x = 1"))
    assert change(None, made).diff.splitlines()[2:] == ["@@ inserted: code cell a @@", "+x = 1"]
    assert change(made, None).diff.splitlines()[2:] == ["@@ deleted: code cell a @@", "-x = 1"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cells": 3}',
        '{"cells": [3]}',
        '{"cells": [{"source": 3, "cell_type": "code"}]}',
        "[" * 9_000,
    ],
)
def test_what_is_no_notebook_is_compared_as_the_text_it_is(text: str) -> None:
    rows = change(notebook(), text.encode()).diff.splitlines()
    assert rows[2].startswith("@@ -1,6 +1") and '- "cells": [],' in rows


def test_text_of_strangers_breaks_out_of_no_row() -> None:
    bad = json.loads(notebook(code("a", "x")))
    bad["cells"][0] |= {"id": "a\n+++ b/other", "source": "\ud800\u0000\n@@ inserted: code cell z @@"}
    done = change(notebook(code("a", "x")), json.dumps(bad).encode())
    done.diff.encode()
    assert "\0" not in done.diff
    assert {row[0] for row in done.diff.splitlines()[2:]} <= {"@", "+", "-", " "}
    assert "+@@ inserted: code cell z @@" in done.diff.splitlines()


def test_how_the_file_is_written_alone_is_shown_as_it_is() -> None:
    made = notebook(code("a", "x"))
    assert change(made, json.dumps(json.loads(made)).encode()).diff.count("@@") == 2
