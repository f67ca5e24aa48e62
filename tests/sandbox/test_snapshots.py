"""Snapshots: what changed, and putting it back."""

from __future__ import annotations

import gc
import os
import subprocess
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from agent_kernel.errors import SandboxError, SandboxNotFound
from agent_kernel.sandbox.diffs import MOST_BYTES
from agent_kernel.sandbox.folder import read_most
from agent_kernel.sandbox.snapshots import LONGEST_CHAIN, MOST_KEPT, Snapshots


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def snapshots(work: Path, tmp_path: Path) -> Snapshots:
    return Snapshots(work, tmp_path / "snapshots")


def changes(snapshots: Snapshots, before: str) -> dict[str, str]:
    return {change.path: change.action for change in snapshots.diff(before)}


def test_what_was_made_edited_and_deleted_is_found(work: Path, snapshots: Snapshots) -> None:
    (work / "edit").write_text("a\nb\n")
    (work / "delete").write_text("x")
    before = snapshots.take()
    (work / "edit").write_text("a\nc\n")
    (work / "delete").unlink()
    (work / "sub").mkdir()
    (work / "sub" / "make").write_text("new\n")
    edit, delete, make = sorted(snapshots.diff(before), key=lambda change: "eds".index(change.path[0]))
    assert (edit.action, edit.added, edit.removed) == ("edit", 1, 1)
    assert edit.diff == "--- a/edit\n+++ b/edit\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    assert (delete.action, make.path, make.action) == ("delete", "sub/make", "create")


def test_the_same_files_give_the_same_snapshot(work: Path, snapshots: Snapshots) -> None:
    (work / "a").write_text("x")
    assert snapshots.take() == snapshots.take()


def test_many_snapshots_of_many_files_take_little_room(
    work: Path, tmp_path: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call makes one: on the disk it is what changed, in memory only the last few are kept."""
    monkeypatch.setattr("agent_kernel.sandbox.snapshots.MOST_REMEMBERED", 1_000)
    for number in range(300):
        (work / f"file{number}").write_text("x")
    names = [snapshots.take()]
    whole = (tmp_path / "snapshots" / f"{names[0]}.json").stat().st_size
    for number in range(2 * LONGEST_CHAIN):
        (work / f"file{number % 7}").write_text(f"{number}")  # some states come again and again
        (work / f"only{number}").write_text("new")
        (work / f"only{number - 1}").unlink(missing_ok=True)
        names.append(snapshots.take())
    assert sum(file.stat().st_size for file in (tmp_path / "snapshots").glob("*.json")) < 5 * whole
    gc.collect()
    assert sum(isinstance(kept, dict) and "file299" in kept for kept in gc.get_objects()) < 8
    for found in (snapshots, Snapshots(work, tmp_path / "snapshots")):
        for number, (before, after) in enumerate(pairwise(names)):
            made = {change.path: change.action for change in found.diff(before, after)}
            assert made[f"only{number}"] == "create"
            assert made.keys() <= {f"only{number}", f"only{number - 1}", f"file{number % 7}"}
        (work / "file299").write_text("changed")
        assert found.restore(names[0]).paths
        assert not found.diff(names[0])


def test_a_file_is_read_up_to_a_size_and_takes_no_more_memory_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            assert len(read_most(file, 20 << 20)) == 100
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    for most in (0, 1, 99, 100, 101):
        with path.open("rb") as file:
            assert len(read_most(file, most)) == min(most, 100)
    with path.open("rb") as file, path.open("ab", buffering=0) as writer:
        file.peek(1)
        writer.write(b"y" * 50)
        assert read_most(file, 1_000) == b"x" * 100 + b"y" * 50
    with open("/proc/self/stat", "rb") as file:
        assert file.peek(1) and len(read_most(file, 1_000)) > 10, "a size of 0 that is not so"


def test_states_that_come_again_stay_readable(work: Path, tmp_path: Path, snapshots: Snapshots) -> None:
    names = []
    for number in range(5 * LONGEST_CHAIN):
        (work / "a").write_text(f"{number % 3 if number % 2 else number}")
        names.append(snapshots.take())
        (work / "b").write_text(f"{number}")
    assert len(set(names)) > 4 * LONGEST_CHAIN
    for name in names:
        assert {change.path for change in Snapshots(work, tmp_path / "snapshots").diff(name)} <= {"a", "b"}


def test_a_manifest_that_was_lost_takes_no_later_one_along(
    work: Path, tmp_path: Path, snapshots: Snapshots
) -> None:
    """Somebody cleaned up, or the power went while it was written."""
    names = []
    for number in range(9):
        (work / "a").write_text(f"{number}")
        names.append(snapshots.take())
        if number == 3:
            (tmp_path / "snapshots" / f"{names[3]}.json").unlink()
        if number == 6:
            (tmp_path / "snapshots" / f"{names[6]}.json").write_bytes(b"")
    (work / "a").write_text("6")
    assert snapshots.take() == names[6], "and a state that comes again is stored again"
    again = Snapshots(work, tmp_path / "snapshots")
    assert [bool(again.diff(name)) for name in names if name != names[3]] == [True] * 5 + [False] + [True] * 2
    with pytest.raises(SandboxNotFound):
        again.diff(names[3])
    (tmp_path / "snapshots" / f"{names[6]}.json").unlink()
    assert snapshots.take() == names[6]
    assert not Snapshots(work, tmp_path / "snapshots").diff(names[6])


def test_everything_can_be_put_back(work: Path, snapshots: Snapshots) -> None:
    (work / "a").write_text("one")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / "link").symlink_to("a")
    before = snapshots.take()
    (work / "a").write_text("two")
    (work / "run.sh").unlink()
    (work / "link").unlink()
    (work / "new").write_text("x")
    restored = snapshots.restore(before)
    assert restored.paths == ("a", "link", "new", "run.sh")
    assert (work / "a").read_text() == "one"
    assert (work / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (work / "link").readlink() == Path("a")
    assert not (work / "new").exists()
    assert changes(snapshots, before) == {}


def test_to_put_some_files_back_only_those_are_looked_at(
    work: Path, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("edit", "delete", "mine"):
        (work / name).write_text("old")
    before = snapshots.take()
    (work / "edit").write_text("new")
    (work / "delete").unlink()
    (work / "make").write_text("new")
    after = snapshots.take()
    (work / "mine").write_text("changed")
    (work / ".git").mkdir()
    (work / ".git" / "config").write_text("hidden")
    with monkeypatch.context() as patch:
        patch.delattr("agent_kernel.sandbox.folder.walk")  # a folder may have 100,000 others
        restored = snapshots.restore(before, ["edit", "delete", "make"], unless_changed_since=after)
    assert (restored.paths, restored.skipped) == (("edit", "delete", "make"), ())
    assert [(work / name).read_text() for name in ("edit", "delete", "mine")] == ["old", "old", "changed"]
    assert not (work / "make").exists()
    assert not snapshots.restore(before, [".git/config"]).paths
    assert (work / ".git" / "config").exists(), "no snapshot knows of it"


def test_a_file_changed_since_is_left_alone(work: Path, snapshots: Snapshots) -> None:
    (work / "a").write_text("one")
    before = snapshots.take()
    (work / "a").write_text("two")
    after = snapshots.take()
    (work / "a").write_text("mine")
    restored = snapshots.restore(before, ["a"], after)
    assert (restored.paths, restored.skipped) == ((), ("a",))
    assert (work / "a").read_text() == "mine"


def test_another_process_finds_the_snapshots_again(work: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    (work / "a").write_text("one")
    before = snapshots.take()
    (work / "a").write_text("two")
    again = Snapshots(work, tmp_path / "snapshots")
    assert changes(again, before) == {"a": "edit"}
    with pytest.raises(SandboxNotFound):
        again.diff("nosuchsnapshot")


def test_binary_large_and_undecodable_files_are_told_apart(work: Path, snapshots: Snapshots) -> None:
    before = snapshots.take()
    (work / "binary").write_bytes(b"\0\1\2")
    (work / "long").write_text("x" * (MOST_BYTES + 1))
    (work / "latin").write_bytes(b"caf\xe9\n")
    with (work / "huge").open("wb") as file:
        file.truncate(MOST_KEPT + 1)
    found = {change.path: change for change in snapshots.diff(before)}
    assert found["binary"].binary
    assert "too large" in found["long"].note
    assert found["latin"].diff.endswith("+caf�\n")
    assert "cannot be shown or undone" in found["huge"].note


def test_hostile_names_stay_names(work: Path, snapshots: Snapshots) -> None:
    before = snapshots.take()
    (work / "a\n+++ b").write_text("x\n")
    (work / "\x1b[31mred").write_text("x\n")
    (change, other) = sorted(snapshots.diff(before), key=lambda change: change.path, reverse=True)
    assert "\\x0a" in change.diff + other.diff
    assert "\x1b" not in change.diff.splitlines()[1] + other.diff.splitlines()[1]


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../out", ""])
def test_no_path_leads_out(snapshots: Snapshots, path: str) -> None:
    before = snapshots.take()
    with pytest.raises(SandboxError, match="not a path"):
        snapshots.restore(before, [path])


def test_a_folder_swapped_for_a_link_leads_nowhere(work: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    (work / "d").mkdir()
    (work / "d" / "a").write_text("inside")
    before = snapshots.take()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("outside")
    (work / "d" / "a").unlink()
    (work / "d").rmdir()
    (work / "d").symlink_to(tmp_path / "outside")
    assert snapshots.restore(before, ["d/a"]).skipped == ("d/a",)
    assert (tmp_path / "outside" / "a").read_text() == "outside"


def test_folders_of_tools_are_left_out(work: Path, snapshots: Snapshots) -> None:
    before = snapshots.take()
    for name in (".git", "node_modules", "__pycache__"):
        (work / name).mkdir()
        (work / name / "x").write_text("x")
    assert changes(snapshots, before) == {}


def test_what_collaboration_keeps_beside_notebooks_is_nobodys_change(
    work: Path, snapshots: Snapshots
) -> None:
    before = snapshots.take()
    (work / "sub").mkdir()
    for name in (".jupyter_ystore.db", "sub/.jupyter_ystore.db-journal", "ours.db"):
        (work / name).write_text("x")
    assert changes(snapshots, before) == {"ours.db": "create"}


def test_a_forged_snapshot_leads_nowhere(work: Path, snapshots: Snapshots, tmp_path: Path) -> None:
    (work / "a").write_text("x")
    before = snapshots.take()
    manifest = tmp_path / "snapshots" / f"{before}.json"
    manifest.write_text(manifest.read_text().replace('"a"', '"../a"'))
    with pytest.raises(SandboxError, match="not a path"):
        Snapshots(work, tmp_path / "snapshots").restore(before)
    assert not (tmp_path / "a").exists()
    for forged in (
        '["BEFORE", 1, {}]',
        '["../../etc/passwd", 1, {}]',
        "[1, 2, 3]",
        "[7, 1, {}]",
        '{"a": 3}',
        "null",
    ):
        manifest.write_text(forged.replace("BEFORE", before))
        with pytest.raises(SandboxNotFound):
            Snapshots(work, tmp_path / "snapshots").restore(before)


def test_a_folder_where_a_file_was_is_left_alone_and_the_rest_is_put_back(
    work: Path, snapshots: Snapshots
) -> None:
    (work / "a").write_text("one")
    (work / "b").write_text("one")
    before = snapshots.take()
    (work / "a").unlink()
    (work / "a" / "inner").mkdir(parents=True)
    (work / "b").write_text("two")
    restored = snapshots.restore(before)
    assert (restored.paths, restored.skipped) == (("b",), ("a",))
    assert [path.name for path in sorted(work.iterdir())] == ["a", "b"]


def test_a_store_that_is_full_still_sees_changes_but_keeps_no_more(work: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(work, tmp_path / "snapshots", most_held=1000)
    (work / "small").write_text("x" * 900)
    (work / "more").write_text("y" * 900)
    before = snapshots.take()
    (work / "small").write_text("changed")
    (work / "more").write_text("changed too")
    found = {change.path: change for change in snapshots.diff(before)}
    assert found.keys() == {"small", "more"}
    assert sum("cannot be shown or undone" in change.note for change in found.values()) == 1
    assert len(snapshots.restore(before).skipped) == 1


def test_folders_in_folders_without_end_are_no_trouble(work: Path, snapshots: Snapshots) -> None:
    directory = os.open(work, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=directory)
        inner = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = inner
    os.close(directory)
    (work / "a").write_text("x")
    before = snapshots.take()
    (work / "a").write_text("y")
    assert changes(snapshots, before) == {"a": "edit"}
    subprocess.run(["rm", "-rf", work], check=True)  # deeper than Python can clear away


def test_its_own_store_inside_the_workspace_is_not_followed(work: Path) -> None:
    snapshots = Snapshots(work, work / "store" / "sb" / "snapshots")
    (work / "a").write_text("x")
    assert snapshots.take() == snapshots.take()
