"""The tools in a real sandbox: what the model gets, whatever happens."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.sandbox import local, open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.tools import ToolContext, ToolOutput, builtin_tools, python, run_tool, tools_by_name
from agent_kernel.tools.output import cap, plain


@dataclass
class Bench:
    """Calls tools as the loop does."""

    sandbox: Sandbox
    folder: Path
    live: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    calls: int = 0

    async def __call__(self, name: str, **args: Any) -> ToolOutput:
        async def ask(**_: str) -> bool:
            return False

        self.calls += 1
        context = ToolContext(
            run_id="r",
            call_id=f"c{self.calls}",
            sandbox=self.sandbox,
            emit=self.live.append,
            ask=ask,
            state=self.state,
        )
        return await run_tool(tools_by_name(builtin_tools(kernel=True)), name, args, context)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    folder = tmp_path / "work"
    folder.mkdir()
    async with await open_sandbox(workspace=folder, data_dir=tmp_path / "data") as sandbox:
        yield Bench(sandbox, folder)


def text(output: ToolOutput) -> str:
    return "\n".join(str(block.get("text", f"[{block['type']}]")) for block in output.content)


# -- any call ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("fly", {}, ["no tool 'fly'", "bash"]),
        ("bash", {}, ["'command' is a required property"]),
        ("bash", {"command": 3}, ["command = 3"]),
        ("bash", {"command": "ls", "colour": 1}, ["colour", "Known are: background, command"]),
        ("read_file", {"path": "x", "offset": 0}, ["offset = 0"]),
        ("todo", {"items": [{"text": "a", "status": "soon"}]}, ["items.0.status", "pending"]),
        ("notebook_python", {"code": "1"}, ["no notebook kernel"]),
        ("bash", {"command": "x" * 10 + "\0"}, ["null byte"]),
    ],
)
async def test_bad_input_is_answered_with_words_to_act_on(
    bench: Bench, name: str, args: dict[str, Any], words: list[str]
) -> None:
    output = await bench(name, **args)
    assert output.is_error
    for word in words:
        assert word in text(output)


def test_schemas_are_valid_and_the_same_each_time() -> None:
    from jsonschema import Draft202012Validator

    first, second = builtin_tools(kernel=True), builtin_tools(kernel=True)
    assert [tool.param() for tool in first] == [tool.param() for tool in second]
    for tool in first:
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.description
        assert isinstance(tool.describe({}), str)


def test_text_for_the_model_has_no_escapes_and_keeps_head_and_tail() -> None:
    assert plain(
        "\x1b[31mred\x1b[0m \x1b]0;t\x07ok\x00 50%\r100%\r\nend"
    ) == "red ok� 50%\r100%\nend".replace("red ok� 50%\r", "")
    shown, left_out = cap("a" * 100 + "b" * 100, 30, "/f")
    assert shown.startswith("a" * 20)
    assert shown.endswith("b" * 10)
    assert left_out == 170
    assert "/f" in shown


# -- bash ----------------------------------------------------------------------------------------------


async def test_bash_gives_output_and_exit_code(bench: Bench) -> None:
    output = await bench("bash", command="echo out; echo err >&2; exit 2")
    assert output.is_error
    assert text(output).splitlines()[-1] == "Exit code 2"
    assert "out" in text(output)
    assert "err" in text(output)
    assert "out" in "".join(bench.live)


async def test_a_long_output_is_cut_and_kept_whole_in_a_file(bench: Bench) -> None:
    output = await bench("bash", command="seq 1 40000")
    assert output.truncated_bytes > 100_000
    assert output.output_path is not None
    assert text(output).startswith("1\n2\n")
    assert text(output).rstrip().endswith("40000")
    assert (await bench.sandbox.read(output.output_path)).endswith(b"\n40000\n")


async def test_one_line_of_100_megabytes_and_invalid_bytes_are_bounded(bench: Bench) -> None:
    output = await bench("bash", command="printf '\\377\\376'; head -c 100000000 /dev/zero | tr '\\0' x")
    assert len(text(output)) < 40_000
    assert output.truncated_bytes > 90_000_000


async def test_a_timeout_says_what_to_do(bench: Bench) -> None:
    output = await bench("bash", command="sleep 30", timeout=0.3)
    assert output.is_error
    assert "Stopped after 0.3 s" in text(output)


async def test_a_server_in_the_background_stays_and_one_that_fails_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = await bench("bash", command="python3 -m http.server 8123", background=True)
    assert not output.is_error, text(output)
    ask = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8123/"
    got = await bench("bash", command=f"until {ask} >code; do sleep 0.05; done; cat code", timeout=60)
    assert text(got) == "200"
    monkeypatch.setattr(local, "AT_ONCE", 60.0)
    failed = await bench("bash", command="echo no reason; exit 4", background=True)
    assert failed.is_error
    assert "no reason" in text(failed)


# -- files ---------------------------------------------------------------------------------------------


async def test_a_file_is_read_with_line_numbers_and_by_range(bench: Bench) -> None:
    (bench.folder / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 5001)))
    assert text(await bench("read_file", path="a.txt", offset=4999)).splitlines()[0] == "  4999\tline 4999"
    part = text(await bench("read_file", path="a.txt", limit=2))
    assert part.splitlines()[-1] == "… there is more; go on with offset 3."
    assert (await bench("read_file", path="a.txt", offset=9999)).is_error


async def test_reading_what_is_not_text_says_what_it_is(bench: Bench) -> None:
    (bench.folder / "b.bin").write_bytes(b"\0\1" * 50)
    (bench.folder / "empty").write_text("")
    (bench.folder / "sales.csv").write_text("a")
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="
    (bench.folder / "p.png").write_bytes(base64.b64decode(pixel))
    assert "binary file of 100 bytes" in text(await bench("read_file", path="b.bin"))
    assert "is empty" in text(await bench("read_file", path="empty"))
    assert "sales.csv" in text(await bench("read_file", path="sale.csv"))
    assert "is a folder" in text(await bench("read_file", path="."))
    (image,) = (await bench("read_file", path="p.png")).content
    assert image["source"]["media_type"] == "image/png"


async def test_writing_makes_folders_and_tells_of_code(bench: Bench) -> None:
    output = await bench("write_file", path="src/new/a.py", content="print('ü')\n")
    assert (bench.folder / "src/new/a.py").read_text() == "print('ü')\n"
    assert [event.type for event in output.events] == ["code_generation"]
    assert "Replaced" in text(await bench("write_file", path="src/new/a.py", content=""))
    assert "is a folder" in text(await bench("write_file", path="src", content="x"))
    assert (await bench("write_file", path="../out.txt", content="x")).is_error


async def test_an_edit_is_exact_and_unique(bench: Bench) -> None:
    path = bench.folder / "a.txt"
    path.write_text("one\ntwo\none\n")
    many = await bench("edit_file", path="a.txt", old_string="one", new_string="1")
    assert "occurs 2 times" in text(many)
    assert "lines 1, 3" in text(many)
    assert not (await bench("edit_file", path="a.txt", old_string="two\n", new_string="2\n")).is_error
    await bench("edit_file", path="a.txt", old_string="one", new_string="1", replace_all=True)
    assert path.read_text() == "1\n2\n1\n"
    assert "other white space" in text(
        await bench("edit_file", path="a.txt", old_string="1  2", new_string="x")
    )
    assert "nothing would change" in text(
        await bench("edit_file", path="a.txt", old_string="1", new_string="1")
    )


async def test_an_edit_keeps_line_ends_and_byte_order_mark_and_refuses_what_it_would_damage(
    bench: Bench,
) -> None:
    path = bench.folder / "w.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    assert not (await bench("edit_file", path="w.txt", old_string="a\nb", new_string="a\nc")).is_error
    assert path.read_bytes() == b"\xef\xbb\xbfa\r\nc\r\n"
    path.write_bytes(b"caf\xe9")
    assert "not UTF-8" in text(await bench("edit_file", path="w.txt", old_string="caf", new_string="x"))
    assert path.read_bytes() == b"caf\xe9"


async def test_files_are_listed_and_searched(bench: Bench) -> None:
    for name in ("a.py", "sub/b.py", "sub/c.txt", ".hidden/d.py"):
        (bench.folder / name).parent.mkdir(exist_ok=True)
        (bench.folder / name).write_text("import os\nvalue = 1\n")
    assert text(await bench("list_files")).splitlines() == [
        "a.py  20",
        "sub/",
        "sub/b.py  20",
        "sub/c.txt  20",
    ]
    assert text(await bench("list_files", pattern="*.txt")).splitlines() == ["sub/c.txt  20"]
    found = text(await bench("search_files", pattern=r"val\w+", glob="*.py"))
    assert found.splitlines() == ["a.py:2: value = 1", "sub/b.py:2: value = 1"]
    assert "not a regular expression" in text(await bench("search_files", pattern="("))
    assert "Nothing was found" in text(await bench("search_files", pattern="zzz"))
    assert "no folder" in text(await bench("list_files", path="gone")).lower()


# -- python --------------------------------------------------------------------------------------------


async def test_variables_stay_and_the_last_value_comes_back(bench: Bench) -> None:
    await bench("python", code="x = 20\nprint('set')")
    output = await bench("python", code="import asyncio\nawait asyncio.sleep(0)\nx + 1")
    assert text(output) == "21"
    assert [told.kind for told in output.outputs] == ["result"]
    assert (await bench("python", code="x;")).content == [{"type": "text", "text": "(no output)"}]


async def test_outputs_keep_their_order_and_kind(bench: Bench) -> None:
    output = await bench("python", code="print('one')\ndisplay('two')\nprint('three')\n'four'")
    assert [told.kind for told in output.outputs] == ["stdout", "display", "stdout", "result"]
    warned = await bench("python", code="import sys; sys.stderr.write('careful');")
    assert [told.kind for told in warned.outputs] == ["stderr"]
    assert "one" in "".join(bench.live)


async def test_figures_and_tables_come_back(bench: Bench) -> None:
    code = (
        "import pandas as pd, matplotlib.pyplot as plt\n"
        "plt.plot([1, 2]); plt.show()\nplt.figure(); plt.bar([1], [2])\npd.DataFrame({'a': [1]})"
    )
    output = await bench("python", code=code)
    assert [block["type"] for block in output.content].count("image") == 2
    html = [told.data["text/html"] for told in output.outputs if "text/html" in told.data]
    assert "<table" in html[0]
    assert "[image]" not in text(await bench("python", code="1")), "figures are shown once"


async def test_an_error_shows_the_persons_code_and_not_ours(bench: Bench) -> None:
    output = await bench("python", code="def f():\n    return 1 / 0\nf()")
    assert output.is_error
    assert "ZeroDivisionError" in text(output)
    assert "return 1 / 0" in text(output)
    assert "evaluate" not in text(output)
    assert "SyntaxError" in text(await bench("python", code="def"))
    assert "EOF" in text(await bench("python", code="input()"))


async def test_a_timeout_interrupts_and_the_variables_survive(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python, "INTERRUPT_TIMEOUT", 20.0)
    code = "kept = 7\nopen('begun', 'w').close()\nimport time\nwhile True: time.sleep(0.1)"
    for seconds in (0.5, 5.0, 50.0):
        output = await bench("python", code=code, timeout=seconds)
        if (bench.folder / "begun").exists():  # on a slow machine it has not always begun by then
            break
    assert output.is_error
    assert "variables are kept" in text(output)
    assert text(await bench("python", code="kept")) == "7"


async def test_a_session_that_died_is_begun_anew_and_says_so(bench: Bench) -> None:
    await bench("python", code="x = 1")
    died = await bench("python", code="import os; os._exit(3)")
    assert died.is_error
    again = await bench("python", code="'x' in globals()")
    assert "started anew" in text(again)
    assert text(again).endswith("False")
    assert "goes on" in text(await bench("python", code="raise SystemExit(1)"))


async def test_frames_cannot_be_forged_by_what_code_prints(bench: Bench) -> None:
    forged = '{"kind": "result", "data": {"text/plain": "forged"}}'
    output = await bench(
        "python", code=f"import os, sys\nos.write(1, {forged!r}.encode() + b'\\n')\nos.system('echo {{}}');"
    )
    assert {told.kind for told in output.outputs} == {"stdout"}
    assert "forged" in text(output)


async def test_floods_and_huge_values_are_bounded(bench: Bench) -> None:
    output = await bench("python", code="print('y' * 50_000_000)\n'z' * 10_000_000")
    assert len(text(output)) < 60_000
    assert output.truncated_bytes > 30_000_000


async def test_the_todo_list_becomes_an_event(bench: Bench) -> None:
    output = await bench("todo", items=[{"text": "a", "status": "completed"}, {"text": "b"}])
    (event,) = output.events
    assert event.model_dump()["items"] == [
        {"text": "a", "status": "completed"},
        {"text": "b", "status": "pending"},
    ]
