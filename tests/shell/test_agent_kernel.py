"""The kernel `agent`, as front ends talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.shell.celltext import read, rewritten
from agent_kernel.shell.widget import STATIC, WIDGET_MIME
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from tests.shell.cells import Cells, environment, kernel


@pytest.fixture(scope="module")
def api() -> Iterator[ScriptedMessages]:
    with ScriptedMessages() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agent") / "work"
    folder.mkdir()
    (folder / "sales.csv").write_text("region,amount\nnorth,3\n")
    (folder / "agent_kernel").mkdir()  # a name that must not stand in for ours
    (folder / "agent_kernel" / "__init__.py").write_text("raise SystemExit('the wrong agent_kernel')")
    (folder / "own.py").write_text("NAME = 'a module of the person'")
    return folder


@pytest.fixture(scope="module")
def cells(folder: Path, api: ScriptedMessages) -> Iterator[Cells]:
    settings = {**environment(folder.parent / "data", api), "AGENT_KERNEL_PERMISSION": "bypass"}
    with kernel(folder, settings, "agent") as cells:
        yield cells


def reply(cells: Cells, asked: str) -> dict[str, Any]:
    content: dict[str, Any] = cells.reply(asked)["content"]
    return content


def known(name: str) -> bool:
    return name in ("df", "zip")


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("Which customers left?", "prompt"),
        ("Why?", "prompt"),
        ("df = 1", "prompt"),
        ("% of customers who left", "prompt"),
        ("/tmp/a.csv is broken, mend it", "prompt"),
        ("/status", "prompt"),
        ("\n  Hello", "prompt"),
        ("%%python", "python"),
        ("\n%%python\nx = 1", "python"),
        ("%%py x + 1", "python"),
        ("%%pythonic thoughts", "ipython"),
        ("%%agent --new\nHi", "ipython"),
        ("%time 1", "ipython"),
        ("!ls", "ipython"),
        ("?df", "ipython"),
        ("df?", "ipython"),
        ("df.head??", "ipython"),
        ("%time?", "ipython"),
        ("*Error?", "ipython"),
        ("", "ipython"),
        (" \n\t", "ipython"),
    ],
)
def test_what_a_cell_is(cell: str, kind: str) -> None:
    assert read(cell, known).kind == kind


def test_lines_of_python_keep_their_numbers() -> None:
    def lines(cell: str) -> list[str]:
        return rewritten(cell.splitlines(keepends=True), known)

    assert lines("%%python\nx = 1\ny\n") == ["# %%python\n", "x = 1\n", "y\n"]
    assert lines("\n\n%%py\n\n    x\n") == ["    # %%python\n"] * 3 + ["\n", "    x\n"]
    assert lines("%%py x\n") == ["x\n"]
    assert lines("%%python\n%%time\nx\n") == ["%%time\n", "x\n"]
    assert lines("Say \"hi\" \\ 'there'\n{x}") == [
        """get_ipython().run_cell_magic('agent', '', 'Say "hi" \\\\ \\'there\\'\\n{x}')\n"""
    ]


def test_a_plain_cell_is_a_prompt_and_its_value_a_run(cells: Cells, api: ScriptedMessages) -> None:
    api.add([Text("Forty-two.")])
    assert cells.run("%%python\nn = 6").status == "ok"
    shown = cells.run("What is {n} times seven?\nSee @sales.csv")
    assert shown.status == "ok", shown.error
    (output,) = shown.outputs
    assert "Forty-two." in output["text/plain"] and "Forty-two." in output["text/html"]
    sent = str(api.bodies[-1]["messages"])
    assert "What is 6 times seven?" in sent and "north,3" in sent
    assert cells.run("%%python\nrun = _\nprint(run.status, run.text)").text == "completed Forty-two.\n"


def test_python_magics_shell_and_help_share_a_namespace(cells: Cells) -> None:
    assert cells.run("%%python\nx = 20\nx + 1").text == "21"
    assert cells.run("%%py x + 2").text == "22"
    assert cells.run("%%python\n%%capture caught\nprint(x)").status == "ok"
    assert cells.run("%%python\nprint(caught.stdout.strip(), end='')").text == "20"
    assert "20" in cells.run("!echo {x}").text
    assert "Wall time" in cells.run("%time y = x").text
    assert cells.run("%%python\nimport asyncio\nawait asyncio.sleep(0, y)").text == "20"
    payload = reply(cells, cells.start("x?"))["payload"]
    assert "int" in payload[0]["data"]["text/plain"]


def test_an_error_names_the_line_of_the_cell(cells: Cells) -> None:
    shown = cells.run("%%python\n\n1 / 0")
    assert shown.status == "error" and "line 3" in "".join(shown.error).replace("\x1b[32m", "")


def test_slash_commands_are_cells(cells: Cells) -> None:
    assert "/undo" in str(cells.run("/help").outputs)
    shown = cells.run("/stpo")
    assert shown.error == ["/stpo is not a command. Did you mean /stop?"]


def test_the_workspace_cannot_stand_in_for_our_code(cells: Cells, folder: Path) -> None:
    assert "a module of the person" in cells.run("%%python\nimport own; print(own.NAME)").text
    where = cells.run("%%python\nimport agent_kernel; print(agent_kernel.__file__)").text
    assert not where.startswith(str(folder))


def test_history_holds_what_was_typed(cells: Cells, api: ScriptedMessages) -> None:
    api.add([Text("Noted.")])
    cells.run("Remember this, please")
    cells.run("%%python\n'and this'")
    asked = cells.client.history(raw=True, output=False, hist_access_type="tail", n=2)
    typed = [entry[2] for entry in reply(cells, asked)["history"]]
    assert typed == ["Remember this, please", "%%python\n'and this'"]


def test_silent_code_of_front_ends_is_python(cells: Cells, api: ScriptedMessages) -> None:
    before = len(api.bodies)
    asked = cells.client.execute("hidden = 7", silent=True, user_expressions={"seen": "hidden * 6"})
    assert reply(cells, asked)["user_expressions"]["seen"]["data"]["text/plain"] == "42"
    asked = cells.client.execute("print(hidden)", store_history=False)
    assert cells.finish(asked).text == "7\n"
    assert len(api.bodies) == before


def test_code_of_the_agent_that_reads_like_the_prompt_is_still_code(
    cells: Cells, api: ScriptedMessages
) -> None:
    api.add([ToolUse("notebook_python", {"code": "answer"})], [Text("It is 42.")])
    cells.run("%%python\nanswer = 42")
    before = len(api.bodies)
    assert cells.run("answer").status == "ok"
    assert len(api.bodies) == before + 2
    (result,) = api.bodies[-1]["messages"][-1]["content"]
    assert result["content"][0]["text"] == "42"


def test_an_interrupt_stops_a_prompt_and_python_even_while_it_waits(
    cells: Cells, api: ScriptedMessages
) -> None:
    assert cells.manager.kernel_spec.interrupt_mode == "message"
    api.add([Text("Let me think"), Stall()])
    asked = len(api.bodies)
    cell = cells.start("Think long")
    assert api.wait_for_requests(asked + 1)
    cells.manager.interrupt_kernel()
    assert cells.finish(cell).error == ["Stopped."]
    for code, error in (
        ("import asyncio\nprint('on', flush=True)\nawait asyncio.sleep(600)", "CancelledError"),
        ("import time\nprint('on', flush=True)\ntime.sleep(600)", "KeyboardInterrupt"),
    ):
        cell = cells.start(f"%%python\n{code}")
        next(m for m in cells.messages() if m["content"].get("text", "").startswith("on"))
        cells.manager.interrupt_kernel()
        assert error in cells.finish(cell).error[-1]
    assert cells.run("%%py 1 + 1").text == "2"


@pytest.mark.skipif(not (STATIC / "cell.js").is_file(), reason="the front end is not built")
def test_in_a_notebook_the_view_is_live_and_leaves_a_transcript(cells: Cells, api: ScriptedMessages) -> None:
    api.add([Text("Hello.")])
    shown = cells.run("Hi", cell_id="cell-1")
    (output,) = shown.outputs
    assert any(c["type"] == "comm_open" for c in shown.comms)
    assert WIDGET_MIME not in output and "Hello." in output["text/html"]


def test_widgets_of_the_person_work(cells: Cells) -> None:
    shown = cells.run("%%python\nimport ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider")
    comm = shown.outputs[0][WIDGET_MIME]["model_id"]
    update = {"comm_id": comm, "data": {"method": "update", "state": {"value": 8}, "buffer_paths": []}}
    cells.client.shell_channel.send(cells.client.session.msg("comm_msg", update))
    assert cells.run("%%py slider.value").text == "8"


@pytest.mark.parametrize(
    ("code", "matches", "start"),
    [
        ("/sta", ["/status"], 0),
        ("Profile @sal", ["sales.csv"], 9),
        ("one\ntwo @sal", ["sales.csv"], 9),
        ("Chart {typed.re", ["real"], 13),
        ("%%python\ntyped.re", ["real"], 15),
        ("%%python\n# @sal\ntyped.imag.rea", ["real"], 27),
        ("%%agent\n@sal", ["sales.csv"], 9),
        ("plain words tha", [], 15),
        ("a /sta", [], 6),
    ],
)
def test_completions(cells: Cells, code: str, matches: list[str], start: int) -> None:
    cells.run("%%python\ntyped = 1")
    found = reply(cells, cells.client.complete(code))
    assert (found["matches"], found["cursor_start"], found["cursor_end"]) == (matches, start, len(code))
    types = found["metadata"]["_jupyter_types_experimental"]
    assert [(t["text"], t["start"], t["end"]) for t in types] == [(m, start, len(code)) for m in matches]


@pytest.mark.parametrize(
    ("code", "cursor", "words"),
    [
        ("%%python\nzip", 12, "Init signature"),
        ("Show {zip} to me", 8, "Init signature"),
        ("/undo", 3, "put files back"),
        ("zip files", 2, ""),
        ("/nothing", 3, ""),
        ("Show {zip} to me", 14, ""),
    ],
)
def test_inspections(cells: Cells, code: str, cursor: int, words: str) -> None:
    found = reply(cells, cells.client.inspect(code, cursor))
    assert found["found"] is bool(words)
    assert words in found["data"].get("text/plain", "")


def test_consoles_know_when_a_prompt_is_complete(cells: Cells) -> None:
    for code, status in {
        "Hello": "complete",
        "a\\": "incomplete",
        "Mend:\n```\nx": "incomplete",
        "Mend:\n```\nx\n```": "complete",
        "%%agent": "incomplete",
        "%%python\nx = (": "incomplete",
        "%%python\nx = )": "invalid",
    }.items():
        assert reply(cells, cells.client.is_complete(code))["status"] == status, code


def test_the_kernel_says_what_it_is(cells: Cells) -> None:
    info = reply(cells, cells.client.kernel_info())
    assert (info["implementation"], info["language_info"]["name"]) == ("agent-kernel", "markdown")
    assert "a prompt" in info["banner"]


def test_it_is_there_for_every_front_end_with_its_pictures() -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("agent")
    assert spec.display_name == "Agent"
    assert {path.name for path in Path(spec.resource_dir).glob("logo*")} == {
        "logo-32x32.png", "logo-64x64.png", "logo-svg.svg",
    }  # fmt: skip


def test_bad_input_is_one_sentence_and_the_kernel_goes_on(cells: Cells, api: ScriptedMessages) -> None:
    before = len(api.bodies)
    assert cells.run("%%python").status == "ok"
    assert cells.run("").status == "ok"
    assert cells.run("Read @missing.csv").error[0].startswith("@missing.csv: there is no such file")
    assert "SyntaxError" in "".join(cells.run("%%python --out x y").error)
    assert len(api.bodies) == before
    api.add([Text("Strange.")])
    assert cells.run("\x00\x1b[31m \u2028 'quotes\" \\ ﷽ \U0001f600" * 500).status == "ok"
    assert "\U0001f600" in str(api.bodies[-1]["messages"])
