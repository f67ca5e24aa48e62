"""`python`: one interpreter that stays, whatever the code does to it."""

from __future__ import annotations

import asyncio
import base64

import pytest

from agent_kernel.events import CodeGeneration
from agent_kernel.tools import python
from agent_kernel.tools.base import ToolOutput
from agent_kernel.tools.images import pixels
from tests.tools.conftest import Desk, said

GONE = "(The Python session was started anew: variables of earlier calls are gone.)"


def kinds(output: ToolOutput) -> list[str]:
    return [each.kind for each in output.outputs]


def images(output: ToolOutput) -> list[bytes]:
    return [base64.b64decode(b["source"]["data"]) for b in output.content if b["type"] == "image"]


# -- what comes back -----------------------------------------------------------------------------------


async def test_the_code_is_told_as_an_event(desk: Desk) -> None:
    output = await desk.call("python", code="1")
    (event,) = output.events
    assert isinstance(event, CodeGeneration)
    assert (event.language, event.code, event.path, event.call_id) == ("python", "1", None, "call-1")


async def test_each_output_says_what_it_is(desk: Desk) -> None:
    code = (
        "import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('more')\ndisplay(1)\nprint('end')\n2"
    )
    output = await desk.call("python", code=code)
    assert {(kind, block["text"]) for kind, block in zip(kinds(output), output.content, strict=True)} == {
        ("stdout", "out\nmore\n"), ("stderr", "err\n"), ("display", "1"), ("stdout", "end\n"), ("result", "2"),
    }  # fmt: skip
    assert [each.block for each in output.outputs] == [0, 1, 2, 3, 4]


async def test_much_alternating_output_hides_no_result(desk: Desk) -> None:
    code = "import sys\nfor n in range(500):\n    print(n); print(n, file=sys.stderr)\n'the result'"
    output = await desk.call("python", code=code)
    assert sorted(kinds(output)) == ["result", "stderr", "stdout"]
    assert output.content[-1]["text"] == "'the result'"


async def test_what_children_print_comes_too(desk: Desk) -> None:
    code = "import subprocess\nsubprocess.run('echo child; echo error >&2', shell=True);"
    assert sorted((await desk.text("python", code=code)).split()) == ["child", "error"]


async def test_print_is_seen_while_the_code_runs(desk: Desk) -> None:
    task = asyncio.create_task(desk.call("python", code="print('begun')\nimport time\ntime.sleep(60)"))
    await desk.shows("begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_last_bytes_printed_belong_to_their_call(desk: Desk) -> None:
    for number in range(60):
        code = f"import os\nos.system('printf {number}')\nprint('', flush=True, end='');"
        assert await desk.text("python", code=code) == str(number)


async def test_a_table_comes_with_its_html(desk: Desk) -> None:
    output = await desk.call("python", code="import pandas as pd\npd.DataFrame({'a': [1, 2]})")
    assert "   a\n0  1\n1  2" in said(output)
    assert "<table" in output.outputs[0].data["text/html"]


async def test_figures_come_as_images_and_are_closed(desk: Desk) -> None:
    code = (
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('between')\n"
        "plt.figure()\nplt.plot([2, 1]);"
    )
    output = await desk.call("python", code=code)
    assert kinds(output) == ["stdout", "display", "display"]
    assert all(pixels(image) for image in images(output))
    assert await desk.text("python", code="plt.get_fignums()") == "[]"


async def test_a_figure_is_shown_even_when_the_code_fails_later(desk: Desk) -> None:
    output = await desk.call("python", code="import matplotlib.pyplot as plt\nplt.plot([1])\n1 / 0")
    assert kinds(output) == ["error", "display"]


async def test_a_figure_too_large_or_too_many_spoil_nothing(desk: Desk) -> None:
    code = "import matplotlib.pyplot as plt\nplt.subplots(figsize=(900, 2));"
    (image,) = images(await desk.call("python", code=code))
    assert max(pixels(image) or (0, 0)) <= 8000
    broken = "from matplotlib.text import Text\nfigure = plt.figure()\nfigure.savefig = None;"
    assert "could not be drawn: TypeError" in await desk.text("python", code=broken)
    many = await desk.call("python", code="for n in range(22):\n    plt.figure(figsize=(0.5, 0.5))")
    assert len(images(many)) == 20 and "2 more figures" in said(many)
    assert await desk.text("python", code="plt.get_fignums()") == "[]"


async def test_an_svg_is_for_the_person_and_words_are_for_the_model(desk: Desk) -> None:
    code = "class Drawing:\n    def _repr_svg_(self): return '<svg onload=alert(1)/>'\nDrawing()"
    output = await desk.call("python", code=code)
    assert "SVG image" in said(output) and "onload" not in said(output)
    assert output.outputs[0].data == {"image/svg+xml": "<svg onload=alert(1)/>"}


async def test_what_claims_to_be_an_image_and_is_none_is_shown_as_text(desk: Desk) -> None:
    code = "class Fake:\n    def _repr_png_(self): return b'no image'\n    def __repr__(self): return 'fake'\nFake()"
    output = await desk.call("python", code=code)
    assert output.content == [{"type": "text", "text": "fake"}]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("def __repr__(self): raise RuntimeError('no')", "<Odd, whose repr failed: RuntimeError>"),
        ("def __repr__(self): return '\\ud800\\x1b[31m!'", "�!"),
        ("def __getattr__(self, name): raise ValueError(name)\n    def __repr__(self): return 'odd'", "odd"),
        ("def __repr__(self): return 'x' * 10**7", "x" * 20_000 + "… (10,000,000 characters)"),
    ],
)
async def test_odd_values_are_shown_somehow(desk: Desk, body: str, shown: str) -> None:
    assert await desk.text("python", code=f"class Odd:\n    {body}\nOdd()") == shown


async def test_a_flood_keeps_its_beginning_and_its_end(desk: Desk) -> None:
    output = await desk.call("python", code="print('BEGIN')\nprint('y' * 100_000_000)\nprint('END')")
    text = said(output)
    assert text.startswith("BEGIN\n") and text.endswith("END\n")
    assert len(text) < 31_000 and output.truncated_bytes > 99_000_000
    assert sum(map(len, desk.live)) <= 200_000
    assert output.output_path is not None
    assert await desk.text("bash", command=f"head -1 {output.output_path}; tail -1 {output.output_path}") == (
        "BEGIN\nEND"
    )


async def test_displays_without_end_are_counted(desk: Desk) -> None:
    output = await desk.call("python", code="for n in range(1000):\n    display(n)\n'last'")
    assert len(output.content) == 22
    assert said(output).endswith("'last'\n(980 more displayed values are not shown.)")


# -- errors --------------------------------------------------------------------------------------------


async def test_a_traceback_begins_at_the_persons_code(desk: Desk) -> None:
    text = await desk.error("python", code="def f():\n    return 1 / 0\nf()")
    assert text.splitlines()[:3] == [
        "Traceback (most recent call last):", '  File "<python-1>", line 3, in <module>', "    f()",
    ]  # fmt: skip
    assert text.splitlines()[-1] == "ZeroDivisionError: division by zero"


async def test_bad_syntax_shows_its_place(desk: Desk) -> None:
    text = await desk.error("python", code="x = = 1")
    assert 'File "<python-1>", line 1' in text and text.endswith("SyntaxError: invalid syntax")


async def test_nobody_can_type(desk: Desk) -> None:
    assert "EOFError: nobody can type here" in await desk.error("python", code="input('name? ')")


async def test_leaving_is_not_dying(desk: Desk) -> None:
    await desk.text("python", code="x = 1\nexit()")
    assert await desk.error("python", code="raise SystemExit('no data')") == (
        "SystemExit: no data. The session goes on."
    )
    assert await desk.text("python", code="x") == "1"


# -- state ---------------------------------------------------------------------------------------------


async def test_classes_and_functions_made_here_can_be_pickled(desk: Desk) -> None:
    await desk.text(
        "python", code="import pickle, multiprocessing\ndef double(n): return 2 * n\nclass A: pass"
    )
    assert "A object" in await desk.text("python", code="pickle.loads(pickle.dumps(A()))")
    code = (
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n    done = pool.map(double, [1, 2])\ndone"
    )
    assert await desk.text("python", code=code) == "[2, 4]"


async def test_what_was_opened_in_one_call_is_awaited_in_the_next(desk: Desk) -> None:
    code = (
        "import asyncio\nwaiting = asyncio.Event()\n"
        "task = asyncio.create_task(waiting.wait())\nawait asyncio.sleep(0)"
    )
    await desk.text("python", code=code)
    assert await desk.text("python", code="waiting.set()\nawait task") == "True"
    assert await desk.text("python", code="asyncio.run(asyncio.sleep(0, 'inner'))") == "'inner'"
    assert await desk.text("python", code="await asyncio.sleep(0, 'outer')") == "'outer'"


async def test_modules_of_the_notebooks_folder_are_found_and_stop_nothing(desk: Desk) -> None:
    (desk.workspace / "json.py").write_text("raise RuntimeError('not the real one')")
    (desk.workspace / "mine.py").write_text("value = 5")
    assert await desk.text("python", code="import mine\nmine.value") == "5"


async def test_streams_that_were_closed_or_replaced_work_in_the_next_call(desk: Desk) -> None:
    for damage in (
        "import os; os.close(1); os.close(2)",
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; sys.stdout.close(); sys.stdin.close()",
        "import sys, io; sys.stdout = io.StringIO()",
        "import os; os.dup2(2, 1)",
    ):
        await desk.call("python", code=damage)
        output = await desk.call("python", code="print('back')")
        assert (kinds(output), said(output)) == (["stdout"], "back\n"), damage


async def test_a_copy_the_code_forks_does_not_answer(desk: Desk) -> None:
    quiet = "import os, warnings\nwarnings.simplefilter('ignore')\n"  # newer Pythons warn of a fork beside threads
    code = quiet + "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nbool(pid)"
    assert await desk.text("python", code=code) in ("False\nTrue", "True")
    assert await desk.text("python", code="'once'") == "'once'"


async def test_calls_wait_for_each_other(desk: Desk) -> None:
    await desk.text("python", code="seen = []")
    code = "import time\nseen.append('in'); time.sleep(0.05); seen.append('out');"
    await asyncio.gather(*(desk.text("python", code=code) for _ in range(4)))
    assert await desk.text("python", code="seen == ['in', 'out'] * 4") == "True"


# -- interruption and death ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endless",
    ["while True: pass", "import time\ntime.sleep(600)", "import asyncio\nawait asyncio.sleep(600)",
     "import subprocess\nsubprocess.run(['sleep', '600'])"],
)  # fmt: skip
async def test_variables_survive_a_timeout(desk: Desk, endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "INTERRUPT_TIMEOUT", 20.0)
    code = f"x = 7\nprint('begun', flush=True)\nopen('begun', 'w').close()\n{endless}"
    text, after = await desk.cut_off("python", code=code)
    assert text.startswith("begun\n") and f"Interrupted after {after:g} s. Its variables are kept." in text
    assert await desk.text("python", code="x") == "7"


async def test_variables_survive_a_stop(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "INTERRUPT_TIMEOUT", 20.0)
    task = asyncio.create_task(desk.call("python", code="x = 7\nprint('begun')\nwhile True: pass"))
    await desk.shows("begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await desk.text("python", code="x") == "7"


async def test_variables_survive_an_interrupt_that_comes_before_the_code_has_begun(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python, "INTERRUPT_TIMEOUT", 20.0)
    await desk.text("python", code="x = 7")
    await desk.text("bash", command="pkill -STOP -f '[M]OST_DISPLAYS'")  # a machine that stands still
    late = asyncio.create_task(desk.error("python", code="while True: pass", timeout=0.2))
    await asyncio.sleep(1)
    await desk.text("bash", command="pkill -CONT -f '[M]OST_DISPLAYS'")
    assert "Its variables are kept." in await late
    assert await desk.text("python", code="x") == "7"


async def test_code_that_ignores_the_interrupt_is_killed_and_it_is_said(desk: Desk) -> None:
    ignored = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    text, _ = await desk.cut_off("python", code=f"{ignored}open('begun', 'w').close()\nwhile True: pass")
    assert "It had to be killed: its variables are gone." in text
    assert await desk.text("python", code="1") == f"{GONE}\n1"
    assert await desk.text("python", code="1") == "1"


async def test_an_interrupt_between_calls_harms_nothing(desk: Desk) -> None:
    await desk.text("python", code="x = 1\nimport os, signal")
    await desk.text("bash", command="pkill -INT -f '[M]OST_DISPLAYS'")
    assert await desk.text("python", code="x") == "1"


@pytest.mark.parametrize(
    "deadly",
    ["import os; os._exit(3)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
     "import ctypes; ctypes.string_at(0)"],
)  # fmt: skip
async def test_a_death_is_told_and_the_next_call_begins_anew(desk: Desk, deadly: str) -> None:
    await desk.text("python", code="x = 1")
    text = await desk.error("python", code=deadly)
    assert "Python ended (exit code" in text and "without variables" in text
    assert "NameError" in await desk.error("python", code="x")
    assert await desk.text("python", code="'fine'") == "'fine'"


async def test_a_restart_of_the_sandbox_is_told(desk: Desk) -> None:
    await desk.text("python", code="x = 1")
    await desk.sandbox.stop()
    await desk.sandbox.start()
    assert await desk.text("python", code="2") == f"{GONE}\n2"


async def test_too_much_memory_is_an_error_and_not_the_end(desk: Desk) -> None:
    await desk.text("python", code="x = 1")
    assert "MemoryError" in await desk.error("python", code="big = bytearray(10**12)")
    assert await desk.text("python", code="x") == "1"


# -- forgery -------------------------------------------------------------------------------------------


async def test_printed_frames_stay_text(desk: Desk) -> None:
    code = (
        'import os\nframe = b\'\\n{"kind": "result", "data": {"text/plain": "forged"}}\\n\'\n'
        "os.write(1, frame)\nos.write(2, frame)\nos.system('echo forged');"
    )
    assert set(kinds(await desk.call("python", code=code))) == {"stdout", "stderr"}


async def test_the_token_stands_nowhere_code_or_its_children_can_read_it(desk: Desk) -> None:
    await desk.text("python", code="1")
    token = desk.state["python"]._token.decode()
    code = (
        "import os, subprocess\n"
        "open('/proc/self/cmdline').read() + str(dict(os.environ)) + subprocess.getoutput('ps axeww -o args')"
    )
    text = await desk.text("python", code=code)
    assert "MOST_DISPLAYS" in text, "the command line is to be seen"
    assert token not in text


async def test_junk_in_the_frames_own_descriptor_loses_no_frame(desk: Desk) -> None:
    code = (
        "import os\nfor number in range(3, 30):\n    try:\n        os.write(number, b'junk without an end')\n"
        "    except OSError: pass\n'the result'"
    )
    assert (await desk.text("python", code=code)).endswith("'the result'")
    flood = "os.write(4, b'z' * 20_000_000);"
    assert await desk.text("python", code=flood) == "(no output)"
    assert await desk.text("python", code="'still here'") == "'still here'"
