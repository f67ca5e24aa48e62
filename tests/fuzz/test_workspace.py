"""Files: diffs rebuild what they tell of, paths stay inside, and what two sides change at once is never lost."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent_kernel.errors import SandboxError
from agent_kernel.sandbox import folder, outpost
from agent_kernel.sandbox.diffs import file_change
from agent_kernel.sandbox.snapshots import Snapshots
from agent_kernel.sandbox.sync import Sync
from tests.fuzz.depth import examples

LINES = st.lists(
    st.sampled_from(["a", "b", "", "+x", "-x", "@@ -1 +1 @@", "--- a", "\\ No newline", "ü"]), max_size=12
)


@given(LINES, LINES)
@examples(150)
def test_a_diff_rebuilds_the_new_file_from_the_old(old: list[str], new: list[str]) -> None:
    before, after = ("".join(f"{line}\n" for line in lines).encode() for lines in (old, new))
    change = file_change("f", before, after, existed=True, exists=True)
    assert patched(old, change.diff) == new
    body = change.diff.splitlines()[2:]
    assert change.added == sum(line.startswith("+") for line in body)
    assert change.removed == sum(line.startswith("-") for line in body)
    assert len(old) - change.removed + change.added == len(new)


def patched(old: list[str], diff: str) -> list[str]:
    """What a patch program would make of it."""
    made: list[str] = []
    at = left = 0
    for line in diff.split("\n")[2:-1]:
        if not left and line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            size, new = int(count or 1), int((line.split()[2].partition(",")[2]) or 1)
            begin = int(start) - (1 if size else 0)
            made += old[at:begin]
            at, left = begin, size + new
            continue
        if line[0] in " -":
            assert old[at] == line[1:]
            at, left = at + 1, left - 1
        if line[0] in " +":
            made.append(line[1:])
            left -= 1
    return made + old[at:]


CELLS = st.lists(
    st.fixed_dictionaries(
        {
            "cell_type": st.sampled_from(["code", "markdown", "x", 3]),
            "source": st.one_of(st.text(max_size=9), LINES, st.integers()),
        },
        optional={"id": st.sampled_from(["a", "b", "a\n+", 1]), "outputs": LINES},
    ),
    max_size=4,
)


@given(CELLS, CELLS)
@examples(150)
def test_whatever_changed_in_a_notebook_is_told_row_by_row(old: list[Any], new: list[Any]) -> None:
    before, after = (json.dumps({"cells": cells}, indent=1).encode() for cells in (old, new))
    change = file_change("n.ipynb", before, after, existed=True, exists=True)
    change.diff.encode()
    assert bool(change.diff) == (before != after)
    assert all(row[:1] in set("@+- ") for row in change.diff.split("\n")[2:-1])


PARTS = st.sampled_from(["a", "..", ".", "", "link", "b\n", "\0", "ü", "x" * 260, "~", "-rf", "\ud800"])


@given(st.lists(PARTS, min_size=1, max_size=5).map("/".join))
@examples(150)
def test_no_path_leads_out_of_the_workspace(path: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        outside, root = Path(place) / "outside", Path(place) / "work"
        outside.mkdir()
        root.mkdir()
        (outside / "a").write_text("canary")
        (root / "link").symlink_to(outside)
        with contextlib.suppress(SandboxError, OSError, ValueError):
            folder.put_file(root, folder.clean(path), io.BytesIO(b"owned"), 0o644)
        for name in ("a", "link/a", path):
            with contextlib.suppress(SandboxError, OSError, ValueError), folder.open_file(root, name) as file:
                assert file.read() != b"canary"
        assert (outside / "a").read_text() == "canary"
        assert sorted(os.listdir(place)) == ["outside", "work"] and os.listdir(outside) == ["a"]


NAMES = ("a", "b.txt", "d/a", "d/e/f", ".gitignore", "link")


def disturb(root: Path, chance: random.Random, said: str) -> None:
    """What a person or an agent does to files, at random."""
    for number in range(chance.randint(0, 4)):
        place = root / chance.choice(NAMES)
        kind = chance.random()
        try:
            if kind < 0.55:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(f"{said} {number} {chance.random()}\n")
            elif kind < 0.7:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(chance.choice(["a", "../../etc/passwd", "d", "b.txt"]))
            else:
                place.unlink()
        except OSError:
            pass


def tree(root: Path) -> dict[str, str]:
    found = {}
    for at, folders, files in os.walk(root):
        for name in [*files, *(name for name in folders if os.path.islink(os.path.join(at, name)))]:
            path = Path(at, name)
            found[str(path.relative_to(root))] = (
                f"→{os.readlink(path)}" if path.is_symlink() else path.read_text()
            )
    return found


@pytest.fixture(scope="module")
def base() -> Iterator[None]:
    """The other side keeps its notes in a folder of ours."""
    names = ("BASE", "JOBS", "ENDED", "OWNERS", "TREES")
    before = {name: getattr(outpost, name) for name in names}
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            setattr(outpost, name, place + before[name].removeprefix(before["BASE"]))
        for name in names[1:]:
            os.makedirs(getattr(outpost, name), exist_ok=True)
        yield
    for name, value in before.items():
        setattr(outpost, name, value)


class Here:
    """The other side, in this process: the very program that runs in the sandbox."""

    async def ask(self, do: str, blob: bytes = b"", **head: Any) -> tuple[dict[str, Any], bytes]:
        program: Any = outpost
        answer, data = program.unpack(program.call(*program.unpack(program.pack({"do": do, **head}, blob))))
        assert "errno" not in answer, answer
        return answer, data


@given(st.integers(0, 10**6))
@example(255_399)  # a file there where a folder is here
@examples(25)
def test_two_sides_that_change_at_once_end_alike_and_lose_nothing(base: None, seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        near, far = Path(place) / "near", Path(place) / "far"
        near.mkdir()
        far.mkdir()
        sync = Sync(
            near, Snapshots(near, Path(place) / "store"), Path(place) / "state.json", Path(place) / "store"
        )
        for round_number in range(4):
            disturb(near, chance, f"person {round_number}")
            disturb(far, chance, f"agent {round_number}")
            persons = tree(near)
            for _ in range(2):
                asyncio.run(sync.run(Here(), str(far)))
            ours, theirs = tree(near), tree(far)
            noted = {note.path for note in sync.notes}
            for path in ours.keys() ^ theirs.keys() | {
                p for p in ours.keys() & theirs.keys() if ours[p] != theirs[p]
            }:
                assert path in noted or path == "link" or theirs.get(path, "").startswith("→"), (
                    seed,
                    path,
                    ours,
                    theirs,
                )
            for path, content in persons.items():
                if content.startswith(f"person {round_number} "):
                    assert content in ours.values(), f"seed {seed}: the person's {path} is lost"
