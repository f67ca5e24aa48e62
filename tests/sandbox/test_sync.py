"""The workspace in two places: what is carried, what is not, and what happens when both sides change."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxError
from agent_kernel.sandbox import sync
from agent_kernel.sandbox.base import FileChange, Sandbox
from agent_kernel.sandbox.ignore import Ignored
from tests.sandbox.fake_daytona import FakeDaytona

OpenRemote = Callable[..., Awaitable[Sandbox]]


def there(daytona: FakeDaytona, path: str = "") -> Path:
    return daytona.only.path(f"/workspace/{path}")


def toolbox(daytona: FakeDaytona) -> int:
    """How often something was asked of the sandbox itself."""
    return sum(path.startswith("/toolbox") for _, path in daytona.log)


async def changes(sandbox: Sandbox, before: str) -> dict[str, FileChange]:
    after = await sandbox.snapshot()
    return {change.path: change for change in await sandbox.diff(before, after)}


# -- both sides ------------------------------------------------------------------------------------------


async def test_a_file_that_both_changed_is_kept_twice_and_said(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona
) -> None:
    (workspace / "a.tar.gz").write_text("base")
    sandbox = await open_remote()
    before = await sandbox.snapshot()
    (workspace / "a.tar.gz").write_text("mine")
    there(daytona, "a.tar.gz").write_text("the agent's")
    found = await changes(sandbox, before)
    assert (workspace / "a.tar.gz").read_text() == "mine"
    assert (workspace / "a.tar (sandbox).gz").read_text() == "the agent's"
    note = found["a.tar (sandbox).gz"].note
    assert note == "you and the agent both changed a.tar.gz: yours stays there, this is the agent's"
    await sandbox.snapshot()
    assert there(daytona, "a.tar.gz").read_text() == "mine"
    assert there(daytona, "a.tar (sandbox).gz").read_text() == "the agent's", "both sides have both"
    assert (await changes(sandbox, before))["a.tar.gz"].note == "", "it is said once"


async def test_the_same_change_on_both_sides_is_no_conflict(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona
) -> None:
    sandbox = await open_remote()
    before = await sandbox.snapshot()
    (workspace / "same.txt").write_text("same")
    there(daytona, "same.txt").write_text("same")
    assert set(await changes(sandbox, before)) == {"same.txt"}
    assert sorted(os.listdir(workspace)) == ["same.txt"]


async def test_a_change_wins_over_a_deletion_on_either_side(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona
) -> None:
    for name in ("mine", "theirs", "both"):
        (workspace / name).write_text("base")
    sandbox = await open_remote()
    before = await sandbox.snapshot()
    (workspace / "mine").write_text("changed by me")
    there(daytona, "mine").unlink()
    (workspace / "theirs").unlink()
    there(daytona, "theirs").write_text("changed by the agent")
    (workspace / "both").unlink()
    there(daytona, "both").unlink()
    found = await changes(sandbox, before)
    assert (workspace / "mine").read_text() == there(daytona, "mine").read_text() == "changed by me"
    assert (
        (workspace / "theirs").read_text() == there(daytona, "theirs").read_text() == "changed by the agent"
    )
    assert not (workspace / "both").exists()
    assert "yours stays" in found["mine"].note
    assert "the agent's is back" in found["theirs"].note


async def test_changes_of_a_person_while_nobody_looked_are_carried_over(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona
) -> None:
    (workspace / "old").write_text("x")
    (workspace / "gone").write_text("x")
    first = await open_remote()
    await first.exec("echo agent > made; chmod 750 made")
    await first.stop()
    assert (workspace / "made").stat().st_mode & 0o777 == 0o750
    (workspace / "old").rename(workspace / "renamed")
    (workspace / "gone").unlink()
    second = await open_remote()
    assert (await second.exec("ls; cat renamed made")).stdout == "made\nrenamed\nxagent\n"


async def test_one_changed_file_among_many_carries_one_file(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona
) -> None:
    for number in range(1000):
        (workspace / f"{number}.txt").write_text(f"{number}" * 100)
    sandbox = await open_remote()
    await sandbox.snapshot()
    start, requests = daytona.bytes_in + daytona.bytes_out, toolbox(daytona)
    there(daytona, "7.txt").write_text("changed there")
    (workspace / "8.txt").write_text("changed here")
    await sandbox.snapshot()
    assert (workspace / "7.txt").read_text() == "changed there"
    assert there(daytona, "8.txt").read_text() == "changed here"
    assert daytona.bytes_in + daytona.bytes_out - start < 12_000
    assert toolbox(daytona) - requests == 1, "what is small goes, and comes, along with the look"
    await sandbox.snapshot()
    assert toolbox(daytona) - requests == 2, "where nothing changed, one look"


async def test_what_was_agreed_on_may_be_lost(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona, tmp_path: Path
) -> None:
    (workspace / "same").write_text("same")
    (workspace / "differs").write_text("base")
    first = await open_remote()
    await first.stop()
    for state in (tmp_path / "data" / "s-1").glob("sync-*.json"):
        state.write_text("{broken")
    (workspace / "differs").write_text("mine")
    await open_remote()
    assert sorted(os.listdir(workspace)) == ["differs", "differs (sandbox)", "same"]
    assert (workspace / "differs").read_text() == "mine"


# -- left out --------------------------------------------------------------------------------------------


async def test_ignored_files_stay_on_their_side(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona
) -> None:
    (workspace / ".gitignore").write_text("build/\n*.log\n")
    (workspace / ".agentignore").write_text("!wanted.log\nsecret.txt\n")
    for name in ("a.log", "wanted.log", "secret.txt", "a.txt"):
        (workspace / name).write_text(name)
    (workspace / ".git").mkdir()
    (workspace / ".git" / "config").write_text("[core]")
    sandbox = await open_remote()
    seen = (await sandbox.exec("ls -A")).stdout.split()
    assert seen == [".agentignore", ".gitignore", "a.txt", "wanted.log"]
    before = await sandbox.snapshot()
    await sandbox.exec(
        "mkdir build .git; echo x > build/x; echo y > b.log; echo evil > .git/config; rm wanted.log"
    )
    assert set(await changes(sandbox, before)) >= {"wanted.log"}
    assert not (workspace / "build").exists() and not (workspace / "b.log").exists()
    assert (workspace / ".git" / "config").read_text() == "[core]"
    (workspace / ".gitignore").write_text("*.txt\n")
    await sandbox.snapshot()
    assert (workspace / "a.txt").exists() and there(daytona, "a.txt").exists(), "ignoring deletes nothing"


def test_rules_that_would_take_for_ever_are_left_out() -> None:
    rules = Ignored({".gitignore": "*a" * 40 + "b\n[z-\n!!\n\\\n*.log\n"})
    assert rules.match("x.log")
    assert not rules.match("a" * 200)


async def test_files_too_large_to_carry_are_said(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "MOST_FILE", 2 << 20)
    (workspace / "mine.bin").write_bytes(bytes(3 << 20))
    sandbox = await open_remote()
    before = await sandbox.snapshot()
    await sandbox.exec(
        "ls mine.bin; head -c 4000000 /dev/zero > theirs.bin; head -c 2000000 /dev/zero > fits.bin"
    )
    found = await changes(sandbox, before)
    assert (
        found["mine.bin"].note
        == "not carried to the sandbox: it has 3 MiB, 2 MiB is the most that is carried"
    )
    assert found["theirs.bin"].note == "left in the sandbox: it has 4 MiB, 2 MiB is the most that is carried"
    assert (workspace / "fits.bin").stat().st_size == 2_000_000
    assert not (workspace / "theirs.bin").exists() and not there(daytona, "mine.bin").exists()
    assert set(await changes(sandbox, before)) == {"fits.bin"}, "it is said once"


async def test_links_that_lead_out_stay_where_they_are(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("canary")
    (workspace / "mine").symlink_to(tmp_path / "secret")
    (workspace / "folder").symlink_to(tmp_path)
    sandbox = await open_remote()
    before = await sandbox.snapshot()
    assert "canary" not in (await sandbox.exec("cat mine folder/secret; ls folder/")).stdout
    await sandbox.exec("ln -s /etc etc; ln -s ../../secret up; mkdir d; ln -s ../fine d/fine; echo x > fine")
    await sandbox.exec("rm folder; mkdir folder; echo owned > folder/secret")
    found = await changes(sandbox, before)
    assert os.readlink(workspace / "d" / "fine") == "../fine"
    assert not os.path.lexists(workspace / "etc") and not os.path.lexists(workspace / "up")
    assert found["etc"].note == "left in the sandbox: it is a link that leads out of the workspace"
    assert (tmp_path / "secret").read_text() == "canary"


# -- a hostile other side --------------------------------------------------------------------------------

EVIL = '''
import base64, io, json, struct, sys, tarfile
data = sys.stdin.read().strip()
data = open(data[1:], "rb").read() if data.startswith("@") else base64.b64decode(data)
(size,) = struct.unpack_from(">I", data)
head = json.loads(data[4:4 + size])
def answer(said, blob=b""):
    text = json.dumps(said).encode()
    print("AGENT-KERNEL " + base64.b64encode(struct.pack(">I", len(text)) + text + blob).decode())
NAMES = ["../up", "/etc/owned", "a/../../up", ".git/hooks/x", "d/.git/config", "nul\\0l", "", ".", "a//b", "ok.txt"]
NAMES.append("dir/x")
if head["do"] == "scan":
    changed = {name: [0o6777, "f" * 40, 4] for name in NAMES}
    changed["link"], changed["huge"] = ["→", "/etc/passwd", 0], [0o644, "x", 10**15]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for number in range(3):
            member = tarfile.TarInfo(str(number))
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
    key = [0o6777, "f" * 40, 4]
    answer({"disk": DISK, "fresh": False, "full": True, "token": "t", "changed": changed, "gone": ["../up", "never"],
            "keys": {"../up": key, "elsewhere": None}, "failed": {"never": "no"},
            "contents": {"../up": [0, key], "/etc/owned": [1, key], ".git/hooks/x": [2, key]}}, packed.getvalue())
elif head["do"] == "fetch":
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        file = tarfile.REGTYPE
        for name, kind, target in [
            ("0", tarfile.SYMTYPE, "/etc"), ("../up", file, ""), ("99", file, ""), ("1", tarfile.CHRTYPE, ""),
            ("1", tarfile.LNKTYPE, "/etc/passwd"), ("0", file, ""), ("0", file, ""), ("²", file, ""), ("-1", file, ""),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"evil"))
    answer({"keys": {str(n): [0o6777, "f" * 40, 4] for n in (0, 1, 99, -1)}}, packed.getvalue())
elif head["do"] == "apply":
    answer({"token": "t", "keys": {"../up": None, "elsewhere": [1, "x", 1]}, "failed": {"../up": "no", "never": "no"}})
else:
    answer({"left": []})
def main(do):
    pass
'''  # fmt: skip


async def test_a_hostile_other_side_writes_nothing_but_files_of_the_workspace(
    open_remote: OpenRemote, workspace: Path, daytona: FakeDaytona, tmp_path: Path
) -> None:
    (workspace / "mine.txt").write_text("mine")
    sandbox = await open_remote()
    await sandbox.snapshot()
    base = daytona.only.path("/session/.agent-kernel")
    disk = (base / "disk").read_text()
    (program,) = base.glob("*/outpost.py")
    program.write_text(EVIL.replace("DISK", repr(disk)))
    elsewhere = set(tmp_path.iterdir())
    await sandbox.snapshot()
    assert set(tmp_path.iterdir()) == elsewhere
    assert not Path("/etc/owned").exists()
    assert sorted(os.listdir(workspace)) == ["dir"], "what it says is deleted and made there, as an agent may"
    assert (workspace / "dir" / "x").read_text() == "evil"
    assert (workspace / "dir" / "x").stat().st_mode & 0o7000 == 0
    program.write_text("print('AGENT-KERNEL ' + '!' * 100)")
    with pytest.raises(SandboxError):
        await sandbox.snapshot()
