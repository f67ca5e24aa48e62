"""What every sandbox keeps to, wherever it is: the same tests for each of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxDenied, SandboxError, SandboxNotFound
from agent_kernel.sandbox.base import Exit, Sandbox, Stdout
from tests.ports import free_port
from tests.sandbox.conftest import HELD, HOLDS, Opening, eventually, nobody_holds_it

NAMES = [
    "plain.txt",
    "ü ñ 漢字.txt",
    "new\nline.txt",
    " lead and trail ",
    "-rf",
    "quote'\"$(x).txt",
    "deep/er/x.txt",
]


# -- commands ------------------------------------------------------------------------------------------


async def test_a_command_runs_in_the_workspace(sandbox: Sandbox, workspace: Path) -> None:
    (workspace / "a.txt").write_text("x")
    await sandbox.snapshot()
    result = await sandbox.exec("ls; echo to-stderr >&2; exit 3")
    assert (result.stdout, result.stderr, result.exit_code) == ("a.txt\n", "to-stderr\n", 3)


async def test_stdin_environment_and_folder_reach_the_command(sandbox: Sandbox) -> None:
    result = await sandbox.exec("mkdir -p d; cat; echo $WHO; pwd", stdin=b"in ", env={"WHO": "me"})
    assert result.stdout == f"in me\n{sandbox.workdir}\n"


async def test_a_command_that_does_not_exist_says_so(sandbox: Sandbox) -> None:
    result = await sandbox.exec(["no-such-program"])
    assert result.exit_code == 127
    assert "no-such-program" in result.error


async def test_output_comes_while_the_command_runs(sandbox: Sandbox) -> None:
    seen: list[bytes] = []
    async for item in sandbox.stream("echo one; read line; echo got $line", job="j", keep_stdin=True):
        if isinstance(item, Stdout):
            seen.append(item.data)
            if item.data == b"one\n":
                await sandbox.send("j", b"two\n")
        elif isinstance(item, Exit):
            assert item.exit_code == 0
    assert b"".join(seen) == b"one\ngot two\n"


async def test_a_flood_is_cut_in_the_middle_and_never_held(sandbox: Sandbox) -> None:
    result = await sandbox.exec(
        "echo start; head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo end", max_output=10_000
    )
    assert result.stdout.startswith("start\n")
    assert result.stdout.endswith("end\n")
    assert result.truncated > 900_000_000
    assert len(result.stdout) < 200_000


async def test_invalid_bytes_are_replaced(sandbox: Sandbox) -> None:
    assert (await sandbox.exec("printf '\\377ok'")).stdout == "�ok"


async def test_many_commands_run_side_by_side(sandbox: Sandbox) -> None:
    results = await asyncio.gather(*(sandbox.exec(f"sleep 0.1; echo {n}") for n in range(30)))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(30)]


async def test_a_timeout_kills_children_that_left_their_group(sandbox: Sandbox) -> None:
    late = f"rm -f held; (setsid sh -c '{HOLDS}; sleep 600' >/dev/null 2>&1 &); {HELD}; echo held; sleep 600"
    for seconds in (0.4, 4.0, 40.0):
        result = await sandbox.exec(late, timeout=seconds)
        assert result.timed_out
        if result.stdout == "held\n":  # on a slow machine it has not always begun by then
            break
    assert result.stdout == "held\n"
    await nobody_holds_it(sandbox)


async def test_closing_a_stream_kills_its_command(sandbox: Sandbox) -> None:
    stream = sandbox.stream(f"{HOLDS}; echo go; sleep 600")
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    await nobody_holds_it(sandbox)


async def test_background_commands_go_on_and_kill_ends_them_all(sandbox: Sandbox) -> None:
    assert (await sandbox.exec(f"{HOLDS}; sleep 600", background=True)).exit_code == 0
    await sandbox.exec(HELD)
    assert (await sandbox.exec("flock --nonblock lock true")).exit_code == 1, "it goes on"
    await sandbox.kill()
    await nobody_holds_it(sandbox)


async def test_stopping_leaves_nothing_running(sandbox: Sandbox) -> None:
    late = f"(setsid sh -c '{HOLDS}; sleep 600' >/dev/null 2>&1 &); sleep 60"
    await sandbox.exec(late, background=True)
    await sandbox.exec(HELD)
    await sandbox.stop()
    await nobody_holds_it(sandbox)


# -- files ---------------------------------------------------------------------------------------------


async def test_files_are_written_read_moved_listed_and_removed(sandbox: Sandbox, workspace: Path) -> None:
    data = os.urandom(5_000_000)
    await sandbox.write("deep/er/ü file.bin", data)
    assert await sandbox.read("deep/er/ü file.bin") == data
    assert await sandbox.read("deep/er/ü file.bin", 10, 5) == data[10:15]
    await sandbox.move("deep/er/ü file.bin", "moved.bin")
    assert [(entry.name, entry.kind) for entry in await sandbox.list_dir(".")] == [
        ("deep", "dir"),
        ("moved.bin", "file"),
    ]
    await sandbox.snapshot()
    assert (workspace / "moved.bin").stat().st_uid == workspace.stat().st_uid
    await sandbox.remove("deep")
    await sandbox.snapshot()
    assert not (workspace / "deep").exists()


async def test_what_is_missing_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxNotFound, match=r"gone\.txt"):
        await sandbox.read("gone.txt")


async def test_a_file_written_over_keeps_its_mode(sandbox: Sandbox, workspace: Path) -> None:
    (workspace / "run.sh").write_text("old")
    (workspace / "run.sh").chmod(0o755)
    await sandbox.snapshot()
    await sandbox.write("run.sh", b"#!/bin/sh\necho ran\n")
    assert (await sandbox.exec("./run.sh")).stdout == "ran\n"


@pytest.mark.parametrize("path", ["/etc/cron.d/x", "../outside.txt", "/proc/self/mem", "link/x"])
async def test_writes_stay_in_the_places_made_for_writing(
    sandbox: Sandbox, tmp_path: Path, path: str
) -> None:
    await sandbox.exec("ln -s /etc link")
    with pytest.raises(SandboxError):
        await sandbox.write(path, b"x")
    assert not (tmp_path / "outside.txt").exists()


async def test_names_of_files_may_be_anything(sandbox: Sandbox, workspace: Path) -> None:
    for name in NAMES:
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(f"of a person: {name}")
    before = await sandbox.snapshot()
    for name in NAMES:
        assert (await sandbox.read(f"./{name}")).decode() == f"of a person: {name}"
        await sandbox.write(f"./{name}.2", b"of the agent")
    after = await sandbox.snapshot()
    assert all((workspace / f"{name}.2").read_bytes() == b"of the agent" for name in NAMES)
    assert {change.path for change in await sandbox.diff(before, after)} == {f"{name}.2" for name in NAMES}


async def test_no_bytes_and_all_bytes_are_kept(sandbox: Sandbox, workspace: Path) -> None:
    everything = bytes(range(256)) * 300
    await sandbox.write("empty", b"")
    await sandbox.write("everything", everything)
    result = await sandbox.exec("cat everything | od -An -v -tx1 | tr -d ' \\n'")
    assert result.stdout == everything.hex()
    await sandbox.snapshot()
    assert (workspace / "everything").read_bytes() == everything
    assert (await sandbox.exec("cat", stdin=everything * 4, max_output=1 << 20)).truncated == 0


# -- changes -------------------------------------------------------------------------------------------


async def test_changes_are_told_and_can_be_taken_back(sandbox: Sandbox, workspace: Path) -> None:
    (workspace / "a.txt").write_text("old\n")
    (workspace / "gone.txt").write_text("x\n")
    (workspace / "run.sh").write_text("#!/bin/sh\n")
    mode = (
        "chmod +x run.sh" if sandbox.tier != "landlock" else "echo echo >> run.sh"
    )  # Landlock's tier has no chmod
    before = await sandbox.snapshot()
    await sandbox.exec(
        f"echo new > a.txt; rm gone.txt; mkdir d; echo made > d/b.txt; {mode}; ln -s a.txt link"
    )
    after = await sandbox.snapshot()
    changes = {change.path: change for change in await sandbox.diff(before, after)}
    assert {path: change.action for path, change in changes.items()} == {
        "a.txt": "edit", "gone.txt": "delete", "run.sh": "edit", "d/b.txt": "create", "link": "create"
    }  # fmt: skip
    assert "-old\n+new" in changes["a.txt"].diff
    assert os.readlink(workspace / "link") == "a.txt"
    assert os.access(workspace / "run.sh", os.X_OK) == (sandbox.tier != "landlock")
    restored = await sandbox.restore(before, unless_changed_since=after)
    assert sorted(restored.paths) == sorted(changes)
    assert (await sandbox.exec("cat a.txt gone.txt; ls -A d link run.sh; test -x run.sh")).exit_code != 0
    assert (await sandbox.exec("cat a.txt gone.txt")).stdout == "old\nx\n"
    assert await sandbox.snapshot() == before


async def test_a_folder_becomes_a_file_and_a_file_a_folder(sandbox: Sandbox, workspace: Path) -> None:
    (workspace / "folder").mkdir()
    (workspace / "folder" / "x").write_text("x")
    (workspace / "file").write_text("file")
    before = await sandbox.snapshot()
    await sandbox.exec("rm -r folder file; echo now > folder; mkdir file; echo in > file/y")
    await sandbox.snapshot()
    assert (workspace / "folder").read_text() == "now\n"
    assert (workspace / "file" / "y").read_text() == "in\n"
    assert len(await sandbox.diff(before)) == 4


async def test_five_thousand_small_files_are_seen_by_both_sides(sandbox: Sandbox, workspace: Path) -> None:
    for number in range(2500):
        (workspace / f"{number % 50}").mkdir(exist_ok=True)
        (workspace / f"{number % 50}" / f"{number}.txt").write_text(f"{number}\n")
    await sandbox.snapshot()
    made = "for i in $(seq 2500); do echo $i > $((i % 50))/made-$i; done; find . -type f | wc -l"
    result = await sandbox.exec(made, timeout=60)
    assert result.stdout.split()[-1] == "5000", result
    await sandbox.snapshot()
    assert sum(1 for file in workspace.rglob("*") if file.is_file()) == 5000


# -- ports ---------------------------------------------------------------------------------------------

SERVER = """
import socket
listener = socket.create_server(("127.0.0.1", {port}))
print("ready", flush=True)
while True:
    line, _ = listener.accept()
    line.recv(65536)
    line.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
    line.close()
"""


async def test_a_port_inside_can_be_reached(sandbox: Sandbox) -> None:
    if sandbox.tier == "landlock":
        pytest.skip("Landlock's tier has no network at all")
    port = free_port()
    with pytest.raises(SandboxNotFound, match=str(port)):
        await sandbox.open_port(port)
    stream = sandbox.stream(["python3", "-c", SERVER.format(port=port)])
    assert await anext(aiter(stream)) == Stdout(b"ready\n")
    handle = await sandbox.open_port(port)
    if handle.socket is not None:
        reader, writer = await asyncio.open_connection(sock=handle.socket)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
    else:
        import httpx2

        async with httpx2.AsyncClient() as client:
            answer = (await client.get(handle.url, headers=dict(handle.headers))).content
    assert answer.endswith(b"hello")
    await stream.aclose()  # type: ignore[attr-defined]


# -- when things go wrong --------------------------------------------------------------------------------

HOST = """
import asyncio, json, sys
from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.daytona_api import Access, Patience
given = json.loads(sys.argv[1])
for name, kind in {"daytona": Access, "patience": Patience}.items():
    given |= {name: kind(**given[name])} if given.get(name) else {}
async def main():
    async with await open_sandbox(**given) as sandbox:
        async for _ in sandbox.stream(f"(setsid sh -c '{HOLDS}; sleep 600' &); {HELD}; echo go; sleep 4321"):
            print("begun", flush=True)
asyncio.run(main())
""".replace("{HOLDS}", HOLDS).replace("{HELD}", HELD)


async def test_what_runs_ends_with_a_host_that_is_killed(opening: Opening) -> None:
    given = {k: asdict(v) if k in ("daytona", "patience") else v for k, v in opening.options.items()}
    told = json.dumps(given, default=str)
    with subprocess.Popen([sys.executable, "-c", HOST, told], stdout=subprocess.PIPE) as host:  # noqa: ASYNC220
        assert host.stdout is not None
        assert await asyncio.to_thread(host.stdout.readline) == b"begun\n"
        host.kill()
    async with await opening.open() as sandbox:  # at Daytona, who comes next ends what the dead one has left
        await nobody_holds_it(sandbox)
        if opening.provider == "daytona-real":
            await sandbox.delete()


async def test_a_sandbox_that_vanishes_says_so_and_the_next_call_has_one(
    opening: Opening, sandbox: Sandbox, workspace: Path
) -> None:
    if opening.provider == "daytona-real":
        pytest.skip("nobody else deletes it")
    (workspace / "mine.txt").write_text("of a person")
    begun = workspace if opening.service is None else opening.service.only.path("/workspace")
    task = asyncio.create_task(sandbox.exec("touch begun; sleep 4321"))
    await eventually((begun / "begun").exists)
    await asyncio.to_thread(opening.vanish, sandbox)
    async with asyncio.timeout(60):
        result = await task
    assert result.exit_code != 0 and result.error, result
    assert (await sandbox.exec("cat mine.txt")).stdout == "of a person"


async def test_one_that_is_not_heard_of_for_a_while_loses_nothing(opening: Opening, sandbox: Sandbox) -> None:
    if opening.provider == "daytona-real":
        pytest.skip("its network is not ours to stall")
    lines = [f"{number}\n" for number in range(400)]
    seen = b""
    async for item in sandbox.stream("for i in $(seq 0 399); do echo $i; sleep 0.002; done"):
        if isinstance(item, Stdout):
            if not seen:
                go_on = await asyncio.to_thread(opening.stall, sandbox)
                asyncio.get_running_loop().call_later(1.5, go_on)
            seen += item.data
        elif isinstance(item, Exit):
            assert (item.exit_code, item.dropped) == (0, 0), item
    assert seen.decode() == "".join(lines)


async def test_links_that_lead_out_are_not_followed_for_a_person(
    sandbox: Sandbox, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("of the host")
    before = await sandbox.snapshot()
    await sandbox.exec(
        "mkdir d; echo in > d/x; ln -s ../../secret up; ln -s /etc/passwd abs; ln -s / root; ln -s d/x near;"
        "ln -s . self"
    )
    for path in ("up", "abs", "root/etc/passwd", "self/abs"):
        with pytest.raises((SandboxDenied, SandboxNotFound)):
            await sandbox.read(path, inside=True)
    for path in ("root", "root/etc"):
        with pytest.raises((SandboxDenied, SandboxNotFound)):
            await sandbox.list_dir(path, inside=True)
    with pytest.raises((SandboxDenied, SandboxNotFound)):
        await sandbox.stat("root/etc/passwd", inside=True)
    assert await sandbox.read("near", inside=True) == b"in\n"
    assert await sandbox.read("self/d/x", inside=True) == b"in\n"
    after = await sandbox.snapshot()
    shown = "".join(change.diff for change in await sandbox.diff(before, after))
    assert "of the host" not in shown and "root:" not in shown
    await sandbox.restore(before)
    assert (tmp_path / "secret").read_text() == "of the host"
    assert not (workspace / "d" / "x").exists()
