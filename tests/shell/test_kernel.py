"""Agent cells in a real kernel, as nbclient and JupyterLab send them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import HttpError, Stall, Text, ToolUse
from tests.shell.cells import Cells, environment, kernel


@pytest.fixture
def cells(workspace: Path, tmp_path: Path, api: ScriptedMessages) -> Iterator[Cells]:
    with kernel(workspace, environment(tmp_path / "data", api)) as cells:
        assert cells.run("%load_ext agent_kernel").status == "ok"
        yield cells


def notebook_python(code: str) -> ToolUse:
    return ToolUse("notebook_python", {"code": code})


def test_a_prompt_is_answered_and_its_value_is_the_run(cells: Cells, api: ScriptedMessages) -> None:
    api.add([Text("Hello, you.")], [Text("Again.")])
    shown = cells.run("run = %agent Hi there")
    assert shown.status == "ok"
    (output,) = shown.outputs
    assert "Hello, you." in output["text/plain"] and "Hello, you." in output["text/html"]
    assert output["metadata"]["agent_kernel"]["run_id"]
    assert not any(name.startswith("application/") for name in output)
    assert "completed" in cells.run("print(run, run.text, [m.role for m in run.messages])").text
    shown = cells.run("%%agent\nHi\nagain")
    assert len(shown.outputs) == 1
    assert "'completed'" in cells.run("print(repr(_.status))").text
    assert api.bodies[-1]["messages"][-1]["content"] != api.bodies[0]["messages"][-1]["content"]


def test_values_and_files_go_with_the_prompt(cells: Cells, api: ScriptedMessages, workspace: Path) -> None:
    (workspace / "sales.csv").write_text("region,amount\nnorth,3\n")
    api.add([Text("Seen.")])
    cells.run("n = 42")
    assert cells.run("%agent Take {n} from @sales.csv, it costs $HOME").status == "ok"
    sent = str(api.bodies[0]["messages"])
    assert "Take 42 from `sales.csv`, it costs $HOME" in sent and "north,3" in sent


MISTAKES = {
    "%agent --modle x Hi": "--modle is not an option of %agent. Did you mean --model?",
    "%agent --permission all Hi": "--permission 'all' is not one of plan, ask, accept-edits, bypass.",
    "%agent Chart {df['x']}": "{df['x']} in the prompt failed: KeyError",
    "%agent Read @missing.csv": "@missing.csv: there is no such file in the workspace.",
    "%agent /stpo": "/stpo is not a command. Did you mean /stop?",
    "%agent /undo": "Nothing has run in this session yet. Give a prompt first.",
    "%agent /resume nothing": "There is no run 'nothing'.",
    "%agent /export out.pdf": "Nothing has run in this session yet.",
    "%agent --agent x Hi": "There is no agent definition 'x'.",
}


def test_mistakes_are_one_line_and_run_nothing(cells: Cells, api: ScriptedMessages) -> None:
    cells.run("df = {}")
    for cell, sentence in MISTAKES.items():
        shown = cells.run(cell)
        assert shown.status == "error"
        assert len(shown.error) == 1 and shown.error[0].startswith(sentence)
        assert not shown.outputs
    assert not api.bodies


def test_a_failed_run_fails_its_cell_in_one_line(cells: Cells, api: ScriptedMessages) -> None:
    api.add(HttpError(401, "authentication_error", "invalid x-api-key"))
    shown = cells.run("%agent Hi")
    assert shown.status == "error" and len(shown.error) == 1
    assert "Traceback" not in shown.error[0]
    assert "invalid x-api-key. The key was not accepted" in shown.error[0]
    assert len(shown.outputs) == 1


def test_an_interrupt_stops_the_run_and_the_kernel_goes_on(cells: Cells, api: ScriptedMessages) -> None:
    api.add([Text("Let me think"), Stall()], [Text("Fine.")])
    cell = cells.start("%agent Think long")
    assert api.wait_for_requests(1)
    cells.manager.interrupt_kernel()
    shown = cells.finish(cell)
    assert (shown.status, shown.error) == ("error", ["Stopped."])
    assert len(shown.outputs) == 1
    assert "cancelled" in cells.run("%agent /status").text + str(cells.run("%agent /runs").outputs)
    assert cells.run("%agent And now?").status == "ok"


def test_code_in_the_users_namespace(cells: Cells, api: ScriptedMessages) -> None:
    api.add([notebook_python("y = x * 2\nprint('twice')\ny")], [Text("Done.")])
    cells.run("x = 21")
    assert cells.run("%agent --permission bypass Double x").status == "ok"
    result = api.bodies[1]["messages"][-1]["content"][0]
    assert [block["text"] for block in result["content"]] == ["twice\n", "42"]
    assert cells.run("print(y)").text == "42\n"
    assert "y = x" not in cells.run("print(In)").text


def test_an_interrupt_in_the_users_namespace_stops_both(cells: Cells, api: ScriptedMessages) -> None:
    code = "import time\nopen('began', 'w').close()\ntime.sleep(600)"
    api.add([notebook_python(code)], [Text("Not reached.")])
    cell = cells.start(
        "import threading, os, signal\n"
        "def interrupt():\n"
        "    while not os.path.exists('began'): pass\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "%agent --permission bypass Sleep"
    )
    shown = cells.finish(cell)
    assert shown.error == ["Stopped."]
    assert cells.run("print(1)").text == "1\n"


def test_where_nobody_can_answer_an_approval_is_denied(cells: Cells, api: ScriptedMessages) -> None:
    api.add([notebook_python("x = 1")], [Text("I see.")])
    assert cells.run("%agent Set x").status == "ok"
    (result,) = api.bodies[1]["messages"][-1]["content"]
    assert result["is_error"] and "nobody to ask" in str(result["content"])
    assert cells.run("x").status == "error"


def test_variables_are_listed_without_asking_and_without_values(cells: Cells, api: ScriptedMessages) -> None:
    api.add([ToolUse("notebook_variables", {})], [Text("I see.")])
    cells.run("secret = 'hush'\nnumbers = [1, 2, 3]")
    assert cells.run("%agent What have I got?").status == "ok"
    (result,) = api.bodies[1]["messages"][-1]["content"]
    lines = result["content"][0]["text"].splitlines()
    assert not result.get("is_error") and lines == [
        "secret: str, 4 characters",
        "numbers: list, 3 items of int",
    ]


def test_in_the_background_the_cell_returns_and_its_output_still_arrives(
    cells: Cells, api: ScriptedMessages
) -> None:
    api.add([Text("Late answer.")])
    cell = cells.start("bg = %agent --background Take your time")
    shown = cells.finish(cell)
    assert shown.status == "ok"
    # Its last words may come before, while or after the next cell is worked on.
    cells.finish(cells.start("bg.wait(); print(bg.status)"), shown)
    assert "completed\n" in shown.text, "in one piece or in several"
    messages = cells.messages()
    while "Late answer." not in shown.outputs[0]["text/plain"]:
        cells.apply(shown, next(messages))


def test_code_for_the_kernel_runs_while_it_is_idle(cells: Cells, api: ScriptedMessages) -> None:
    api.add([notebook_python("z = 5")], [Text("Done.")])
    assert cells.run("bg = %agent --background --permission bypass Set z").status == "ok"
    assert api.wait_for_requests(2)
    assert cells.run("print(bg.wait().status, z)").text == "completed 5\n"


def test_named_and_new_sessions_have_their_own_history(cells: Cells, api: ScriptedMessages) -> None:
    api.add(*[[Text(f"Answer {n}.")] for n in range(5)])
    for line in ("one", "--session other two", "three", "--new four", "five"):
        assert cells.run(f"%agent {line}").status == "ok"
    counts = [sum(m["role"] == "user" for m in body["messages"]) for body in api.bodies]
    assert counts == [1, 1, 2, 1, 2]


def test_commands_about_the_last_run(cells: Cells, api: ScriptedMessages, workspace: Path) -> None:
    api.add([Text("First.")], [Text("Second.")])
    cells.run("%agent Do it")
    assert "Do it" in str(cells.run("%agent /status").outputs)
    assert "No file was changed" in str(cells.run("%agent /diff").outputs)
    assert "$" in str(cells.run("%agent /cost").outputs) or "not known" in str(
        cells.run("%agent /cost").outputs
    )
    assert cells.run("%agent /export out.md").status == "ok" and (workspace / "out.md").is_file()
    assert "Second." in str(cells.run("%agent /retry").outputs)
    assert "completed" in str(cells.run("%agent /stop").outputs)
    assert "`claude-x`" in str(cells.run("%agent /model claude-x").outputs)


def test_an_empty_prompt_shows_the_help(cells: Cells) -> None:
    assert "--background" in cells.run("%agent").text


def test_loading_imports_no_model_library_and_no_store(cells: Cells) -> None:
    heavy = cells.run(
        "import sys; print([m for m in ('anthropic', 'sqlalchemy', 'pandas', 'anywidget', 'pydantic') "
        "if m in sys.modules])"
    )
    assert heavy.text == "[]\n"


def test_a_run_paused_by_its_bound_is_resumed_and_shown_whole(cells: Cells, api: ScriptedMessages) -> None:
    api.add([notebook_python("a = 1")], [notebook_python("b = 2")], [Text("Both set.")])
    shown = cells.run("%agent --permission bypass --max-turns 1 Set a and b")
    assert shown.status == "ok"
    assert "paused" in str(cells.run("%agent /status").outputs)
    (output,) = cells.run("%agent --max-turns 5 /resume").outputs
    assert "Both set." in output["text/plain"]
    assert cells.run("print(a, b)").text == "1 2\n"
    assert "nothing to resume" in cells.run("%agent /resume").error[0]


def test_a_console_gets_lines(cells: Cells, api: ScriptedMessages) -> None:
    api.add([notebook_python("x = 1")], [Text("Hello.")])
    shown = cells.finish(cells.start("%agent --permission bypass Hi", stdin=True))
    assert [line for line in shown.text.splitlines() if line.strip()] == [
        "permission bypass: everything the agent does happens without asking.",
        "· notebook_python x = 1",
        "Hello.",
    ]
