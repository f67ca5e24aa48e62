"""Changes to notebooks: what they do, what they refuse, and that nothing else of a file changes."""

from __future__ import annotations

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_kernel.errors import ToolError
from agent_kernel.tools.notebook.document import parse
from agent_kernel.tools.notebook.operations import Operation, apply, cell_names, digest, source_of

CASES = json.loads((Path(__file__).parents[1] / "data" / "notebook_operations.json").read_text())


def notebook(cells: list[dict[str, Any]], minor: int = 5) -> dict[str, Any]:
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}


def cell(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source.splitlines(True)}


def applied(given: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    return reduce(apply, (Operation(**said) for said in operations), given)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["says"])
def test_operations(case: dict[str, Any]) -> None:
    given = notebook([cell(name, source) for name, source in case["cells"].items()])
    before = json.dumps(given)
    if "refused" in case:
        with pytest.raises(ToolError, match=f"^{re.escape(case['refused'])}"):
            applied(given, case["operations"])
    else:
        cells = applied(given, case["operations"])["cells"]
        assert {one["id"]: source_of(one) for one in cells} == case["gives"]
        assert [one["id"] for one in cells] == list(case["gives"])
    assert json.dumps(given) == before, "what it was given stays as it is"


def test_cells_without_ids_of_their_own_are_numbered() -> None:
    old = notebook([{"cell_type": "raw", "metadata": {}, "source": "x"}], minor=4)
    assert cell_names(old) == ["#1"]
    twice = notebook([cell("a", "1"), cell("b", "2"), cell("a", "3")])
    assert cell_names(twice) == ["#1", "b", "#3"]
    changed = apply(old, Operation("insert", "n", source="y", after="#1"))
    assert "id" not in changed["cells"][1], "the format has none before 4.5"


STYLES: list[dict[str, Any]] = [
    {"indent": 1, "ensure_ascii": False},
    {"indent": 2},
    {"indent": 4, "ensure_ascii": False, "sort_keys": True},
    {"indent": "\t", "ensure_ascii": False},
    {},
    {"separators": (",", ":"), "ensure_ascii": False},
]
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
CELLS = st.builds(
    lambda kind, source, extra, as_list: {
        "cell_type": kind,
        "metadata": {"extra": extra},
        "source": source.splitlines(True) if as_list else source,
        **({"execution_count": 1, "outputs": [{"data": extra}]} if kind == "code" else {}),
    },
    st.sampled_from(["code", "markdown", "raw"]),
    TEXTS,
    st.one_of(TEXTS, st.floats(allow_nan=False), st.lists(st.integers(), max_size=3), st.just({})),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_only_what_was_changed_changes_in_the_file(data: st.DataObject) -> None:
    cells = data.draw(st.lists(CELLS, max_size=5))
    for number, one in enumerate(cells):
        one["id"] = f"c{number}"
    text = json.dumps(notebook(cells), **data.draw(st.sampled_from(STYLES)))
    text = data.draw(st.sampled_from(["", "\ufeff", "\n "])) + text + data.draw(st.sampled_from(["", "\n"]))
    if data.draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    document = parse(text, "a.ipynb")
    assert document.render(document.notebook) == text

    changed = document.notebook
    for number in range(data.draw(st.integers(1, 3))):
        names = cell_names(changed)
        kind = data.draw(st.sampled_from(["insert", "edit", "move", "delete"] if names else ["insert"]))
        name = f"n{number}" if kind == "insert" else data.draw(st.sampled_from(names))
        seen = "" if kind == "insert" else source_of(changed["cells"][names.index(name)])
        after = data.draw(st.sampled_from([None, "", *(other for other in names if other != name)]))
        source = data.draw(TEXTS)
        if kind == "edit" and source == seen:
            source += "!"
        changed = apply(
            changed,
            Operation(kind, name, digest(seen), source, data.draw(st.sampled_from(["code", "raw"])), after),  # type: ignore[arg-type]
        )
    rendered = document.render(changed)
    assert json.loads(rendered.removeprefix("\ufeff")) == changed
    untouched = {id(one) for one in changed["cells"]}
    for span in document.cells:
        if id(span.value) in untouched:
            assert text[span.start : span.end] in rendered
    assert rendered.startswith(text[: document.array.start]) and rendered.endswith(text[document.array.end :])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not valid JSON"),
        ("{}", "does not say which format"),
        ('{"nbformat": 3, "nbformat_minor": 0, "worksheets": []}', "has notebook format 3"),
        ('{"nbformat": 4, "nbformat_minor": 5}', "no list of cells"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": [1]}', "no list of cells"),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "cells": [{"cell_type": "code", "source": 1}]}',
            "no list of cells",
        ),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": [], "cells": []}', "'cells' twice"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": []} more', "something follows"),
        ("[" * 100_000, "not valid JSON"),
        ('{"a":' * 100_000, "not valid JSON"),
        ('{"nbformat": "4"', "not valid JSON"),
    ],
)
def test_what_is_no_notebook_is_said_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ToolError, match=r"^a\.ipynb ") as caught:
        parse(text, "a.ipynb")
    assert words in str(caught.value) and len(str(caught.value)) < 300
