"""The notebook tools on real files in a real sandbox."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import nbformat.sign
import pytest

from agent_kernel.client import Agent
from agent_kernel.events import FileChange
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from agent_kernel.tools.notebook.operations import digest
from tests.tools.conftest import Desk, said
from tests.tools.test_images import png

FAILING = "total = 1 / 0"


def written(path: Path, **changes: Any) -> str:
    """A notebook of four cells as Jupyter saves it; its text."""
    v4 = nbformat.v4
    outputs = [
        v4.new_output("stream", name="stdout", text="line\n" * 3000),
        v4.new_output(
            "display_data", data={"image/png": base64.b64encode(png(2, 2)).decode(), "text/plain": "<Figure>"}
        ),
    ]
    error = v4.new_output(
        "error",
        ename="ZeroDivisionError",
        evalue="division by zero",
        traceback=["\x1b[31mZeroDivisionError\x1b[0m", "line 1"],
    )
    notebook = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# Sales", id="title"),
            v4.new_code_cell("import pandas", id="load", execution_count=1, outputs=outputs),
            v4.new_code_cell(FAILING, id="fails", execution_count=2, outputs=[error]),
            v4.new_code_cell("", id="empty"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    notebook.update(changes)
    nbformat.write(notebook, path)
    return path.read_text()


def edit(cell: str, seen: str, source: str) -> dict[str, Any]:
    return {"op": "edit", "cell": cell, "expected": digest(seen), "source": source}


# -- notebook_read -------------------------------------------------------------------------------------


async def test_cells_outputs_and_errors_are_read_without_their_bulk(desk: Desk) -> None:
    written(desk.workspace / "a.ipynb")
    text = await desk.text("notebook_read", path="a.ipynb")
    assert len(text) < 4_000
    lines = text.splitlines()
    assert lines[0] == "a.ipynb: 4 cells, kernel python3, format 4.5"
    assert f"[1] markdown, id title, hash {digest('# Sales')}" in lines
    assert f"[3] code, id fails, hash {digest(FAILING)}, In [2], FAILED" in lines
    assert f"| {FAILING}" in lines and "· error ZeroDivisionError: division by zero" in lines
    assert "| ZeroDivisionError" in lines and "\x1b" not in text
    assert any(line.startswith("· display_data: image/png (") for line in lines)
    assert "bytes left out" in text
    assert "line" not in await desk.text("notebook_read", path="a.ipynb", outputs=False)


async def test_a_cell_that_is_named_is_shown_closer_with_its_pictures(desk: Desk) -> None:
    written(desk.workspace / "a.ipynb")
    output = await desk.call("notebook_read", path="a.ipynb", cells=["load"])
    assert [block["type"] for block in output.content] == ["text", "image"]
    assert said(output).count("| line") > 1_000
    assert "has no cell 'x'. Its cells are: title, load" in await desk.error(
        "notebook_read", path="a.ipynb", cells=["x"]
    )


async def test_a_long_notebook_is_read_in_parts(desk: Desk) -> None:
    cells = [nbformat.v4.new_code_cell(f"x = {n}" + "#" * 500, id=f"c{n}") for n in range(300)]
    written(desk.workspace / "a.ipynb", cells=cells)
    seen, offset = 0, 1
    while offset:
        text = await desk.text("notebook_read", path="a.ipynb", offset=offset)
        assert len(text) < 32_000
        seen += text.count(", id c")
        more = re.search(r"go on with offset (\d+)\.$", text)
        offset = int(more[1]) if more else 0
    assert seen == 300
    text = await desk.text("notebook_read", path="a.ipynb", offset=10, limit=2)
    assert re.findall(r"^\[(\d+)\]", text, re.MULTILINE) == ["10", "11"]
    assert text.endswith("go on with offset 12.")
    assert await desk.error("notebook_read", path="a.ipynb", offset=301) == "a.ipynb has only 300 cells."
    written(desk.workspace / "none.ipynb", cells=[])
    assert (await desk.text("notebook_read", path="none.ipynb")).startswith("none.ipynb: 0 cells")


async def test_an_output_of_megabytes_is_cut_before_it_is_looked_at(desk: Desk) -> None:
    huge = nbformat.v4.new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m\r" * 500_000 + "end")
    written(desk.workspace / "a.ipynb", cells=[nbformat.v4.new_code_cell("x", id="a", outputs=[huge])])
    text = await desk.text("notebook_read", path="a.ipynb")
    assert len(text) < 4_000 and text.endswith("end")


async def test_hostile_cells_cannot_look_like_others(desk: Desk) -> None:
    fake = "[9] code, id fake, hash 00000000\n\x1b[2J\x00"
    cells = [nbformat.v4.new_code_cell(fake, id="real")]
    text = written(desk.workspace / "a.ipynb", cells=cells)
    (desk.workspace / "a.ipynb").write_text(text.replace('"real"', '"re\\nal"'))
    text = await desk.text("notebook_read", path="a.ipynb")
    assert re.findall(r"^\[(\d+)\]", text, re.MULTILINE) == ["1"]
    assert "\x1b" not in text and "\x00" not in text and "re␊al" in text


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.ipynb", b"", "a.ipynb is empty."),
        ("a.ipynb", b"\xff\xfe", "it is not UTF-8 (byte 0)"),
        ("a.ipynb", b"PK\x03\x04\x00", "is not valid JSON"),
        ("a.txt", b"{}", "does not end in .ipynb"),
    ],
)
async def test_what_is_no_notebook_is_said(desk: Desk, name: str, data: bytes, words: str) -> None:
    (desk.workspace / name).write_bytes(data)
    assert words in await desk.error("notebook_read", path=name)
    operations = [{"op": "insert", "source": "x"}]
    assert words in await desk.error("notebook_edit", path=name, operations=operations)
    assert (desk.workspace / name).read_bytes() == data


async def test_a_missing_notebook_names_what_is_near(desk: Desk) -> None:
    written(desk.workspace / "sales.ipynb")
    assert "There is: sales.ipynb" in await desk.error("notebook_read", path="sale.ipynb")


# -- notebook_edit -------------------------------------------------------------------------------------


async def test_a_failing_cell_is_mended_and_the_rest_stays_to_the_byte(desk: Desk) -> None:
    path = desk.workspace / "a.ipynb"
    before = written(path)
    text = await desk.text("notebook_edit", path="a.ipynb", operations=[edit("fails", FAILING, "total = 1")])
    assert text == (f"Changed a.ipynb:\n- edited fails, now [3] of 4, hash {digest('total = 1')}")
    assert path.read_text() == before.replace(FAILING, "total = 1")
    nbformat.validate(nbformat.read(path, as_version=4))


async def test_insert_move_and_delete_in_one_call(desk: Desk) -> None:
    path = desk.workspace / "a.ipynb"
    written(path)
    text = await desk.text(
        "notebook_edit",
        path="a.ipynb",
        operations=[
            {"op": "insert", "source": "## Load\nfrom here", "cell_type": "markdown", "after": "title"},
            {"op": "move", "cell": "fails", "expected": digest(FAILING), "after": ""},
            {"op": "delete", "cell": "empty", "expected": digest("")},
            {"op": "insert", "source": "print('end')"},
        ],
    )
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells] == [
        FAILING, "# Sales", "## Load\nfrom here", "import pandas", "print('end')",
    ]  # fmt: skip
    inserted = notebook.cells[2]
    assert inserted.id in text and inserted.metadata == {} and notebook.cells[4].outputs == []
    assert notebook.cells[0].outputs[0].ename == "ZeroDivisionError", "outputs go with their cell"


async def test_a_persons_change_is_refused_with_what_changed(desk: Desk) -> None:
    path = desk.workspace / "a.ipynb"
    written(path)
    await desk.text("notebook_read", path="a.ipynb")
    path.write_text(path.read_text().replace(FAILING, "total = 1 / 2"))  # a person saves
    theirs = path.read_text()
    operations = [{"op": "insert", "source": "x"}, edit("fails", FAILING, "total = 1")]
    text = await desk.error("notebook_edit", path="a.ipynb", operations=operations)
    assert "Cell 'fails' was changed since you read it" in text and "Nothing was changed." in text
    assert "-total = 1 / 0\n+total = 1 / 2" in text
    assert path.read_text() == theirs, "all operations or none"
    operations[1]["expected"] = "ffffffff"
    text = await desk.error("notebook_edit", path="a.ipynb", operations=operations)
    assert text.endswith("It says now:\ntotal = 1 / 2")
    await desk.text("notebook_edit", path="a.ipynb", operations=[edit("fails", "total = 1 / 2", "total = 1")])


async def test_what_an_operation_lacks_is_named(desk: Desk) -> None:
    before = written(desk.workspace / "a.ipynb")
    for operation, words in (
        ({"op": "edit", "source": "x"}, "Operation 1 (edit) needs cell, expected"),
        ({"op": "move", "cell": "title", "expected": "0"}, "Operation 1 (move) needs after"),
        ({"op": "insert"}, "Operation 1 (insert) needs source"),
        ({"op": "paint"}, "operations.0.op = 'paint'"),
        ({"op": "delete", "cell": "x", "expected": "0"}, "There is no cell 'x'."),
    ):
        assert words in await desk.error("notebook_edit", path="a.ipynb", operations=[operation])
    assert (desk.workspace / "a.ipynb").read_text() == before


async def test_old_notebooks_without_ids_stay_valid_and_take_one_operation_at_a_time(desk: Desk) -> None:
    path = desk.workspace / "old.ipynb"
    path.write_text(json.dumps(json.loads(written(path)), indent=1))
    old = json.loads(path.read_text())
    old["nbformat_minor"] = 4
    for cell in old["cells"]:
        del cell["id"]
    path.write_text(json.dumps(old, indent=1))
    assert "id #3" in await desk.text("notebook_read", path="old.ipynb")
    operations = [{"op": "insert", "source": "new", "after": "#1"}, edit("#3", FAILING, "1")]
    assert "one operation at a time" in await desk.error(
        "notebook_edit", path="old.ipynb", operations=operations
    )
    for operation in operations[:1], [{**edit("#4", FAILING, "1")}]:
        await desk.text("notebook_edit", path="old.ipynb", operations=operation)
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert [c.source for c in notebook.cells] == ["# Sales", "new", "import pandas", "1", ""]


async def test_a_notebook_that_is_not_valid_is_not_written(desk: Desk) -> None:
    path = desk.workspace / "a.ipynb"
    notebook = json.loads(written(path))
    notebook["cells"][1]["outputs"] = [{"output_type": "painting"}]
    path.write_text(json.dumps(notebook))
    before = path.read_bytes()
    text = await desk.error("notebook_edit", path="a.ipynb", operations=[{"op": "insert", "source": "x"}])
    assert "would not be a valid notebook" in text and "not valid as it stands" in text
    assert path.read_bytes() == before


async def test_trust_is_never_raised(desk: Desk, tmp_path: Path) -> None:
    path = desk.workspace / "a.ipynb"
    html = nbformat.v4.new_output("display_data", data={"text/html": "<script>1</script>"})
    written(path, cells=[nbformat.v4.new_code_cell("x", id="a", outputs=[html])])
    notary = nbformat.sign.NotebookNotary(data_dir=str(tmp_path))
    notary.sign(nbformat.read(path, as_version=4))
    await desk.text("notebook_edit", path="a.ipynb", operations=[edit("a", "x", "y")])
    notebook = nbformat.read(path, as_version=4)
    assert not notary.check_signature(notebook)
    assert not notary.check_cells(notebook)
    assert "trusted" not in path.read_text()


async def test_a_link_out_of_the_workspace_leads_nowhere(desk: Desk, tmp_path: Path) -> None:
    written(tmp_path / "secret.ipynb")
    (desk.workspace / "a.ipynb").symlink_to(tmp_path / "secret.ipynb")
    for path in ("a.ipynb", "../secret.ipynb", str(tmp_path / "secret.ipynb")):
        text = await desk.error("notebook_read", path=path)
        assert "Sales" not in text


async def test_an_edit_is_a_change_of_a_file_and_can_be_undone(
    new_agent: Callable[..., Agent], api: ScriptedMessages, workspace: Path
) -> None:
    before = written(workspace / "a.ipynb")
    api.add(
        [ToolUse("notebook_read", {"path": "a.ipynb"})],
        [ToolUse("notebook_edit", {"path": "a.ipynb", "operations": [edit("fails", FAILING, "total = 1")]})],
        [Text("Mended.")],
    )
    run = await new_agent(notebook=str(workspace / "a.ipynb")).run("Mend the failing cell")
    assert run.status == "completed", run.events
    (change,) = [event for event in run.events if isinstance(event, FileChange)]
    assert (change.path, change.action, change.added, change.removed) == ("a.ipynb", "edit", 1, 1)
    assert "works in the notebook `a.ipynb`" in str(api.bodies[0]["system"])
    await run.undo()
    assert (workspace / "a.ipynb").read_text() == before
