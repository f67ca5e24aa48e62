"""The command line, as a program: what it prints, how it exits, and what survives its death."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent_kernel.cli import main
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import HttpError, Stall, Text, ToolUse


class Program:
    """`agent-kernel` in a folder, with a store and a model of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.workspace = folder / "work"
        self.workspace.mkdir()
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("ANTHROPIC", "AGENT_KERNEL"))
            },
            "AGENT_KERNEL_DATA_DIR": str(folder / "data"),
            "AGENT_KERNEL_DEMO_DELAY": "0",
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            **environment,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "agent_kernel", *arguments],
            env=self.environment,
            cwd=self.workspace,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def events(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        code, out, _ = self(*arguments)
        return code, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def demo(tmp_path: Path) -> Program:
    return Program(tmp_path, AGENT_KERNEL_MODEL="demo")


@pytest.fixture
def scripted(tmp_path: Path, api: ScriptedMessages) -> Program:
    return Program(
        tmp_path, ANTHROPIC_BASE_URL=api.url, ANTHROPIC_API_KEY="key-of-the-test", AGENT_KERNEL_MODEL="m"
    )


def test_a_csv_never_seen_before_is_analysed_and_charted(demo: Program) -> None:
    rows = "".join(f"2024-{month:02d}-01,{place},{month * 10 + len(place)}\n" for month in range(1, 13)
                   for place in ("Oslo", "Rome", "Lima"))  # fmt: skip
    (demo.workspace / "some.csv").write_text(f"month,place,visits\n{rows}")
    code, events = demo.events("run", "--json", "Analyse some.csv and chart it")
    assert code == 0
    assert events[-1]["status"] == "completed"
    said = [event["text"] for event in events if event["type"] == "message" and event["role"] == "assistant"][
        -1
    ]
    assert "36 rows and 3 columns" in said
    assert (demo.workspace / "some_chart.png").read_bytes().startswith(b"\x89PNG")
    assert "36 rows" in (demo.workspace / "some_report.md").read_text()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_text_output_tells_the_story(demo: Program) -> None:
    (demo.workspace / "t.csv").write_text("a,b\n1,x\n2,y\n")
    code, out, _ = demo("run", "Analyse t.csv")
    assert code == 0
    assert "Offline demo, no AI." in out
    assert "2 rows and 2 columns" in out


def test_a_failed_run_exits_with_1(scripted: Program, api: ScriptedMessages) -> None:
    api.add(HttpError(401, "authentication_error", "invalid key"))
    code, out, err = scripted("run", "Hi")
    assert code == 1
    assert "key-of-the-test" not in out + err
    assert "ANTHROPIC_API_KEY" in out + err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run",), "Say what to do"),
        (("run", "Hi", "--permission", "yolo"), "yolo"),
        (("run", "Hi", "--cwd", "/no/such/folder"), "not a folder"),
        (("run", "Hi", "--cwd", "a" * 300), "is not a folder"),
        (("run", "Hi", "--budget", "much"), "much"),
        (("run", "Hi", "--cwd", "~nobody-is-called-so"), "is not a folder"),
        (("skills", "list", "--cwd", "~nobody-is-called-so"), "is not a folder"),
        (("runs", "list", "--limit", "-1"), "-1"),
        (("sessions", "list", "--limit", "9" * 30), "9" * 30),
        (("workspaces", "list", "--limit", "-1"), "-1"),
        (("mcp", "serve", "--http", "65536"), "65536"),
        (("mcp", "add", "a", 'sh -c "echo'), "No closing quotation"),
        (("mcp", "add", "a", " "), "no command line"),
        (("schedules", "add", "report", "daily", "Hi", "--budget", "nan"), "budget = nan"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_sentence(
    demo: Program, arguments: tuple[str, ...], sentence: str
) -> None:
    code, _, err = demo(*arguments)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_what_cannot_be_written_is_one_sentence(demo: Program, tmp_path: Path) -> None:
    session = demo("workspaces", "new", str(tmp_path / "new"))[1].split()[0]
    code, _, err = demo("workspaces", "export", session, "/no/such/folder/a.tar.gz")
    assert (code, err) == (
        1,
        "agent-kernel: /no/such/folder/a.tar.gz cannot be written: No such file or directory.\n",
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "agent_kernel", "run", "--json", "Hi"],
            env=demo.environment, cwd=demo.workspace, stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, timeout=300,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "agent-kernel: No space left on device.\n")


def test_a_program_whose_streams_are_closed_works_all_the_same(demo: Program) -> None:
    command = f'exec "{sys.executable}" -m agent_kernel run Hi <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command], env=demo.environment, cwd=demo.workspace, check=False, timeout=90
    )
    assert done.returncode == 0
    assert "completed" in demo("runs", "list")[1]


def test_a_data_folder_with_a_name_that_is_no_utf8_is_used(demo: Program, tmp_path: Path) -> None:
    folder = os.fsdecode(bytes(tmp_path / "data") + b"\xff")
    demo.environment["AGENT_KERNEL_DATA_DIR"] = folder
    assert demo("run", "Hi")[0] == 0
    assert "completed" in demo("runs", "list")[1]
    assert os.path.isdir(folder)


def test_a_locale_that_lacks_characters_loses_only_those(demo: Program) -> None:
    demo.environment["PYTHONIOENCODING"] = "ascii"
    code, out, err = demo("run", "Häh?")
    assert (code, err) == (0, "")
    assert "Offline demo, no AI." in out
    assert "H?h?" in demo("runs", "list")[1]
    demo.environment["PYTHONIOENCODING"] = "latin-1"
    assert prompt_of(demo("run", "--json", "Häh?")[1]) == "Häh?"
    piped = subprocess.run(
        [sys.executable, "-m", "agent_kernel", "run", "--json", "-"],
        env={**demo.environment, "PYTHONIOENCODING": "utf-8:strict"}, cwd=demo.workspace,
        input=b"H\xe4h?", capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert prompt_of(piped.stdout.decode()) == "H\ufffdh?"


def prompt_of(out: str) -> str:
    events = [json.loads(line) for line in out.splitlines()]
    found: str = next(event["text"] for event in events if event["type"] == "message")
    return found


def test_malformed_settings_are_one_sentence(demo: Program) -> None:
    (demo.workspace / "agent-kernel.toml").write_text("permission = ")
    code, out, err = demo("run", "Hi")
    assert code == 1
    assert "agent-kernel.toml is not valid TOML" in " ".join((out + err).split())


def test_the_first_interrupt_stops_the_run_in_good_order(scripted: Program, api: ScriptedMessages) -> None:
    api.add([Text("Well"), Stall()])
    process = scripted.start("run", "--json", "Hi")
    assert process.stdout is not None
    for line in process.stdout:
        if '"thinking"' in line:
            break
    api.wait_for_requests(1)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(60) == 3
    assert json.loads(rest.splitlines()[-1])["status"] == "cancelled"


def test_an_interrupt_ends_a_run_that_asks_though_nobody_presses_enter(
    scripted: Program, api: ScriptedMessages
) -> None:
    api.add([ToolUse("bash", {"command": "true"})], [ToolUse("bash", {"command": "true"})])
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "agent_kernel", "run", "--permission", "ask", "Hi"],
        env=scripted.environment, cwd=scripted.workspace, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    try:
        read_until(ours, b"[n]o: ")
        os.write(ours, b"y\n")
        read_until(ours, b"[n]o: ")
        process.send_signal(signal.SIGINT)
        read_until(ours, b"[cancelled]")
        assert process.wait(60) == 3
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, end: bytes) -> None:
    out = b""
    while end not in out:
        assert select.select([terminal], [], [], 60)[0], out
        out += os.read(terminal, 4096)


def test_turns_run_out_with_4_and_resume_goes_on(scripted: Program, api: ScriptedMessages) -> None:
    api.add([ToolUse("bash", {"command": "echo one"})], [Text("Done.")])
    code, events = scripted.events("run", "--json", "--max-turns", "1", "Work")
    assert (code, events[-1]["reason"]) == (4, "max_turns")
    code, resumed = scripted.events("run", "--json", "--max-turns", "5", "--resume", events[0]["run_id"])
    assert (code, resumed[-1]["status"]) == (0, "completed")


@pytest.mark.parametrize("kind", ["tool_call", "tool_start", "tool_result", "context_update"])
def test_killed_anywhere_the_log_is_whole_and_resume_finishes_without_doing_a_thing_twice(
    scripted: Program, api: ScriptedMessages, kind: str
) -> None:
    step = "echo {n} >> done.txt; sleep 0.3"
    for number in range(1, 4):
        api.add([ToolUse("bash", {"command": step.format(n=number)})])
    api.add([Text("All done.")])
    process = scripted.start("run", "--json", "Do three things")
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += json.loads(line)["type"] == kind
        if seen == 2:
            break
    process.kill()
    process.wait()
    run_id = json.loads(line)["run_id"]

    code, out, _ = scripted("runs", "show", "--json", run_id)
    kept = [json.loads(row) for row in out.splitlines()]
    assert code == 0
    assert [event["seq"] for event in kept] == list(range(1, len(kept) + 1))
    assert kept[json.loads(line)["seq"] - 1] == json.loads(line), "what was shown is in the log"

    answered = len(api.bodies)
    code, out, err = scripted("run", "--json", "--resume", run_id)
    if code == 1 and "being worked on" in err:
        pytest.fail(err)
    events = [json.loads(row) for row in out.splitlines()]
    assert (code, events[-1]["status"]) == (0, "completed"), err
    assert len(api.bodies) > answered
    done = (scripted.workspace / "done.txt").read_text().split()
    assert len(done) == len(set(done)), f"done twice: {done}"
    calls = [event["id"] for event in events if event["type"] == "tool_call"]
    results = [event["id"] for event in events if event["type"] == "tool_result"]
    assert sorted(calls) == sorted(results), "each call has exactly one result"


def test_runs_are_listed_shown_and_exported(demo: Program) -> None:
    (demo.workspace / "t.csv").write_text("a,b\n1,2\n")
    _, events = demo.events("run", "--json", "Analyse t.csv")
    run_id = events[0]["run_id"]
    assert run_id in demo("runs", "list")[1]
    assert "1 row and 2 columns" in demo("runs", "show", run_id)[1]
    for name in ("run.ipynb", "run.html", "run.md"):
        assert demo("runs", "export", run_id, name)[0] == 0
        assert (demo.workspace / name).stat().st_size > 500
    code, _, err = demo("runs", "show", "r-nothing")
    assert code == 1
    assert "There is no run" in err


def test_the_doctor_says_what_works_and_where_settings_come_from(demo: Program) -> None:
    demo.environment["ANTHROPIC_API_KEY"] = "sk-very-secret-value"
    code, out, _ = demo("doctor", "--json")
    report = json.loads(out)
    assert code == 0, report["problems"]
    assert report["sandbox"]["tier"] in ("bubblewrap", "landlock")
    assert report["settings"]["model"] == {"value": "demo", "from": "AGENT_KERNEL_MODEL"}
    assert "sk-very-secret-value" not in out
    assert "sk-very-secret-value" not in demo("doctor")[1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"this is no database at all" * 50, "damaged"), (None, "cannot be")],
)
def test_a_store_that_cannot_be_used_is_one_sentence_and_left_alone(
    demo: Program, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    data = tmp_path / "data"
    if content is None:
        data.write_text("a file where the folder should be")
    else:
        data.mkdir()
        (data / "runs.db").write_bytes(content)
    code, _, err = demo("runs", "list")
    assert code != 0
    assert sentence in err
    assert "Traceback" not in err
    if content is not None:
        assert (data / "runs.db").read_bytes() == content


def test_sessions_are_listed_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("AGENT_KERNEL_DEMO_DELAY", "0")

    def agent_kernel(*words: str, code: int = 0, typed: str = "") -> str:
        done = CliRunner().invoke(main, list(words), input=typed)
        assert done.exit_code == code, done.output
        return done.output

    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    for name in ("one", "two"):
        agent_kernel("run", "--model", "demo", "--cwd", str(tmp_path), "--session", name, "Analyse a.csv")
    rows = agent_kernel("sessions", "list").splitlines()
    assert len(rows) == 2
    agent_kernel("sessions", "delete", code=2)
    assert "nothing" in agent_kernel("sessions", "delete", "--older-than", "1")
    agent_kernel("sessions", "delete", rows[0].split()[0], code=1, typed="n\n")
    assert "Deleted 1 session." in agent_kernel("sessions", "delete", rows[0].split()[0], "--yes")
    assert "Deleted 1 session." in agent_kernel("sessions", "delete", "--all", "--yes")
    assert agent_kernel("runs", "list", "--json") == ""
    assert (tmp_path / "a.csv").exists()


def test_a_detached_run_waits_for_a_worker_which_does_it(tmp_path: Path, api: ScriptedMessages) -> None:
    environment = {
        **os.environ,
        "AGENT_KERNEL_DATA_DIR": str(tmp_path / "data"),
        "AGENT_KERNEL_MODEL": "scripted",
        "ANTHROPIC_BASE_URL": api.url,
        "ANTHROPIC_API_KEY": "none",
    }
    command = [sys.executable, "-m", "agent_kernel"]
    api.add([ToolUse("bash", {"command": "echo done > detached.txt"})], [Text("Done.")])
    queued = subprocess.run(
        [*command, "run", "--detach", "--cwd", str(tmp_path), "Do it later"],
        env=environment, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert "agent-kernel worker" in queued.stderr
    run = queued.stdout.strip()
    assert not (tmp_path / "detached.txt").exists()
    with subprocess.Popen([*command, "worker"], env=environment, stdout=subprocess.DEVNULL) as worker:
        try:
            transcript = tmp_path / "agent-transcripts" / f"{run}.ipynb"
            for _ in range(900):
                if transcript.exists():
                    break
                time.sleep(0.1)
            assert transcript.exists()
            assert (tmp_path / "detached.txt").read_text() == "done\n"
        finally:
            worker.terminate()
    assert worker.returncode == 0
