"""`bash` in a real sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent_kernel.sandbox import local, open_sandbox
from tests.sandbox.conftest import HOLDS, nobody_holds_it
from tests.tools.conftest import Desk, said


async def test_output_and_errors_come_as_one_text_in_their_order(desk: Desk) -> None:
    assert (
        await desk.text("bash", command="echo one; echo two >&2; sleep 0.05; echo three") == "one\ntwo\nthree"
    )
    assert "".join(desk.live) == "one\ntwo\nthree\n"


async def test_it_runs_in_the_workspace_and_keeps_only_files(desk: Desk) -> None:
    await desk.text("bash", command="cd /tmp; export A=1; cd - ; echo hi > here.txt")
    assert (desk.workspace / "here.txt").read_text() == "hi\n"
    assert await desk.text("bash", command="pwd; echo [$A]") == f"{desk.sandbox.workdir}\n[]"


async def test_silence_is_said(desk: Desk) -> None:
    assert await desk.text("bash", command="true") == "(no output)"


async def test_a_failure_carries_its_exit_code(desk: Desk) -> None:
    assert await desk.error("bash", command="echo no >&2; exit 3") == "no\nExit code 3"


async def test_a_signal_has_a_name(desk: Desk) -> None:
    assert await desk.error("bash", command="kill -9 $$") == "Exit code -9 (killed by SIGKILL)"


async def test_a_timeout_keeps_what_was_said_and_tells_what_to_do(desk: Desk) -> None:
    text, after = await desk.cut_off("bash", command="echo begun; touch begun; sleep 600")
    assert text == f"begun\nStopped after {after:g} s. Give a longer timeout, or use background for a server."


async def test_the_calls_own_limit_loses_nothing_either(desk: Desk) -> None:
    for within in (1, 10, 100):  # a tenth of it is left to tell the output in: a slow machine needs more
        output = await desk.call("bash", within, command="echo begun; sleep 600", timeout=600)
        if said(output).startswith("begun\n"):
            break
    assert output.is_error and said(output).startswith(f"begun\nStopped after {within * 0.9:g} s.")


async def test_reading_from_the_keyboard_ends_at_once(desk: Desk) -> None:
    assert await desk.text("bash", command='read -r x; echo "[$x]"') == "[]"


async def test_long_output_is_cut_and_kept_whole_in_a_file(desk: Desk) -> None:
    output = await desk.call("bash", command="seq 1 20000")
    text = said(output)
    assert text.startswith("1\n2\n") and text.endswith("19999\n20000")
    assert len(text) < 31_000
    assert output.output_path is not None and f"the whole is in {output.output_path}" in text
    assert output.truncated_bytes == 108_894 - 30_000
    assert await desk.text("bash", command=f"wc -l < {output.output_path}; tail -1 {output.output_path}") == (
        "20000\n20000"
    )


async def test_a_line_of_100_mb_is_not_held(desk: Desk) -> None:
    output = await desk.call("bash", command="head -c 100000000 /dev/zero | tr '\\0' x; echo END")
    text = said(output)
    assert text.endswith("END") and len(text) < 31_000
    assert output.truncated_bytes > 99_000_000
    assert sum(map(len, desk.live)) <= 200_000


async def test_hostile_bytes_reach_the_model_as_harmless_text(desk: Desk) -> None:
    command = (
        r"printf '\033[31mred\033[0m\033]0;t\007 \377\000\033]8;;never ended\n<script>alert(1)</script>\n'"
    )
    assert await desk.text("bash", command=command) == "red ��8;;never ended\n<script>alert(1)</script>"


async def test_a_character_split_between_two_writes_is_one_character(desk: Desk) -> None:
    assert await desk.text("bash", command=r"printf '\303'; sleep 0.2; printf '\251\n'") == "é"
    assert "�" not in "".join(desk.live)


async def test_a_server_stays_in_the_background(desk: Desk) -> None:
    output = await desk.call("bash", command="echo up; touch started; exec sleep 600", background=True)
    assert not output.is_error
    wait = "until [ -e started ] && pgrep -x sleep >/dev/null; do :; done"
    assert await desk.text("bash", command=f"{wait}; cat {output.output_path}", timeout=60) == "up"


async def test_the_background_log_may_lie_in_a_folder_with_spaces(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "AT_ONCE", 60.0)
    data = tmp_path / "Application Support"
    async with await open_sandbox(workspace=workspace, data_dir=data, tier="none") as sandbox:
        text = await Desk(sandbox, workspace).error("bash", command="echo why; exit 3", background=True)
    assert "exit code 3" in text and "why" in text


async def test_a_background_command_that_fails_at_once_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "AT_ONCE", 60.0)
    text = await desk.error("bash", command="no-such-server", background=True)
    assert "ended at once" in text and "no-such-server: command not found" in text


async def test_a_stop_ends_the_command(desk: Desk) -> None:
    task = asyncio.create_task(desk.call("bash", command=f"{HOLDS}; echo begun; sleep 600"))
    await desk.shows("begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nobody_holds_it(desk.sandbox)


async def test_the_rest_of_the_machine_cannot_be_changed(desk: Desk) -> None:
    text = await desk.error("bash", command="echo x > /etc/motd")
    assert "/etc/motd" in text
