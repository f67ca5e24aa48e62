"""Skills as people write them: whatever is wrong, reading goes on and says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.skills import Skill, examine, read_skill
from agent_kernel.skills.contents import contents, pack
from agent_kernel.skills.header import parse
from tests.skills.conftest import Write

GOOD = "---\nname: zoo\ndescription: Feeds the animals of the zoo when asked to.\n---\n\nFeed them.\n"


def skill(folder: Path, data: str | bytes, name: str = "zoo", file: str = "SKILL.md") -> Skill:
    place = folder / name
    place.mkdir(parents=True)
    (place / file).write_bytes(data.encode() if isinstance(data, str) else data)
    return read_skill(place)


def said(found: Skill) -> str:
    return "\n".join(f"{problem.level}: {problem.text}" for problem in examine(found))


def test_a_good_one_has_all_its_parts_and_no_problem(tmp_path: Path) -> None:
    head = "license: MIT\ncompatibility: needs git\nmetadata:\n  author: me\n  version: 1.0\n"
    head += "allowed-tools: Read Bash(git:*)\n"
    found = skill(tmp_path, GOOD.replace("---\n\n", f"{head}---\n\n"))
    assert (found.name, found.description) == ("zoo", "Feeds the animals of the zoo when asked to.")
    assert (found.license, found.compatibility) == ("MIT", "needs git")
    assert found.metadata == {"author": "me", "version": "1.0"}
    assert found.allowed and found.allowed.entries == (("read_file", ""), ("bash", "git:*"))
    assert found.body() == "Feed them."
    assert said(found) == ""


@pytest.mark.parametrize(
    ("data", "description", "problem"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), "Feeds the animals", "advice: it begins with a byte order mark"),
        (GOOD.replace("\n", "\r\n"), "Feeds the animals", "advice: its lines end in CR"),
        (GOOD.encode().replace(b"zoo when", b"\xff\xfe when"), "Feeds the", "warning: it is not UTF-8 text"),
        (GOOD.replace("animals", "ani\0mals"), "Feeds the animals", "warning: it holds NUL bytes"),
        ("\n\n" + GOOD, "Feeds the animals", ""),
        (GOOD.replace("Feeds", "Use when: Feeds"), "Use when: Feeds the animals", "not valid YAML (line 3: mapping"),
        (GOOD.replace("Feeds", '"Feeds'), '"Feeds the animals', "not valid YAML"),
        (GOOD.replace("Feeds", "|\n  Feeds"), "Feeds the animals", ""),
        ("---\n[a, list]\n---\nThe text.", "The text.", "not valid YAML (it is not a mapping"),
        ("Only a text.\n\nAnd more.", "Only a text.", "warning: it has no front matter"),
        ("# Title\n\nThe first words.\nGo on.\n\nMore", "The first words. Go on.", "warning: description is missing"),
        (GOOD.replace("---\n\n", "\n"), "Feeds the animals", "warning: its front matter is not closed"),
        (GOOD.replace("description: Feeds", "description: [Feeds]\nx: Feeds"), "Feed them.", "description is a list"),
        (GOOD.replace("name: zoo", "name: zoo\nname: zoo"), "Feeds the", "warning: name is there more than once"),
        (GOOD.replace("name: zoo", "color: red\nname: zoo"), "Feeds the", "warning: 'color' is not a field"),
        (GOOD.replace("name: zoo", "model: x\nname: zoo"), "Feeds the", "advice: model is a field of other programs"),
        (GOOD.replace("Feeds", "x" * 2000), "x" * 1024, "warning: description has 2,0"),
        (GOOD.replace("name: zoo", "metadata: [1]\nname: zoo"), "Feeds", "warning: metadata is a list"),
        (GOOD.replace("name: zoo", "metadata: {a: {b: 1}}\nname: zoo"), "Feeds", "warning: metadata.a is a mapping"),
        (GOOD.replace("name: zoo", "allowed-tools: [Read]\nname: zoo"), "Feeds", "advice: allowed-tools is a list"),
        (GOOD.replace("name: zoo", "allowed-tools: WebFetch\nname: zoo"), "Feeds", "names WebFetch, which is no tool"),
        (GOOD.replace("name: zoo", "compatibility: " + "y" * 600 + "\nname: zoo"), "Feeds", "compatibility has 600"),
        (GOOD.replace("Feed them.", ""), "Feeds", "warning: it has no instructions"),
        (GOOD.replace("Feed them.", "line\n" * 600), "Feeds", "advice: its instructions are long (600 lines"),
        (GOOD.replace("Feed them.", "See [x](references/gone.md)"), "Feeds", "it links to references/gone.md"),
        (GOOD.replace("name: zoo", "x: &a [*a]\nname: zoo"), "Feeds", "warning: 'x' is not a field"),
        (GOOD.replace("name: zoo", "x: " + "[" * 30_000 + "\nname: zoo"), "Feeds", "nested too deep"),
        ("---\nx: " + "[" * 60_000 + "]" * 60_000 + "\n" + GOOD[4:], "Feed them.", "more than 65,536 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_the_skill_is_there(
    tmp_path: Path, data: str | bytes, description: str, problem: str
) -> None:
    found = skill(tmp_path, data)
    assert found.usable
    assert found.name == "zoo"
    assert found.description.startswith(description)
    assert problem in said(found)
    assert bool(problem) == bool(said(found))


@pytest.mark.parametrize(
    ("written", "name", "problem"),
    [
        ("PDF Tools", "pdf-tools", "it is called pdf-tools"),
        ("../../etc", "etc", "it is called etc"),
        ("-a--b-", "a-b", "it is called a-b"),
        ("größe", "größe", "not that of its folder"),
        ("n" * 80, "n" * 64, "name has 80 characters"),
        ("'!!!'", "zoo", "has no letter or digit"),
        ("''", "zoo", "name is missing"),
        ("{a: b}", "zoo", "name is a mapping"),
        ("12", "12", "name 12 is not that of its folder, zoo"),
    ],
)
def test_a_name_becomes_one_that_is_safe_everywhere(
    tmp_path: Path, written: str, name: str, problem: str
) -> None:
    found = skill(tmp_path, GOOD.replace("name: zoo", f"name: {written}"))
    assert found.name == name
    assert problem in said(found)


def test_without_any_text_it_cannot_be_used(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"---\n---\n", b"# Only a title\n", b"---\nname: zoo\n")):
        found = skill(tmp_path / str(number), data)
        assert not found.usable
        assert "error: description is missing" in said(found)


def test_a_folder_without_the_file_and_a_file_in_small_letters(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert said(read_skill(tmp_path / "empty")) == "error: it has no SKILL.md"
    found = skill(tmp_path, GOOD, file="skill.md")
    assert said(found) == "warning: its file is skill.md and should be SKILL.md"


def test_a_huge_file_is_read_as_far_as_it_makes_sense(tmp_path: Path) -> None:
    found = skill(tmp_path, GOOD + "x" * (5 << 20))
    assert len(found.body()) < 2 << 20
    assert "warning: SKILL.md has more than 1 MiB" in said(found)


def test_nothing_outside_its_folder_is_one_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    found = skill(tmp_path, GOOD)
    place = found.folder
    (place / "references").mkdir()
    (place / "references/real.md").write_text("real")
    (place / "inner.md").symlink_to("references/real.md")
    (place / "leak.txt").symlink_to(tmp_path / "secret.txt")
    (place / "up").symlink_to("..")
    (place / "me").symlink_to("references")
    (place / "gone").symlink_to("nowhere")
    (place / "loop").symlink_to("loop")
    os.mkfifo(place / "pipe")
    (place / ".git").mkdir()
    (place / ".git/config").write_text("x")
    (place / "bad\nname").write_text("x")
    assert [file.path for file in contents(place).files] == ["SKILL.md", "inner.md", "references/real.md"]
    problems = said(found)
    for text in ("leak.txt is a link that leads out", "up is a link that leads out", "me is a link to a folder",
                 "gone is a link that leads nowhere", "loop is a link that leads nowhere",
                 "pipe is neither a file nor a folder", "the file name 'bad\\nname' cannot be shown"):  # fmt: skip
        assert text in problems
    assert b"secret" not in pack(place).tar()


def test_a_skill_file_that_is_a_link_out_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(GOOD)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo/SKILL.md").symlink_to(tmp_path / "secret")
    assert said(read_skill(tmp_path / "zoo")) == "error: SKILL.md is a link that leads out of the skill"
    os.mkfifo(tmp_path / "zoo" / "skill.md")
    (tmp_path / "zoo/SKILL.md").unlink()
    assert "skill.md is not a file" in said(read_skill(tmp_path / "zoo"))


def test_the_hash_is_of_names_bytes_and_what_can_be_run(write: Write) -> None:
    folder = write("one", files={"scripts/run.py": "print(1)"})
    first = pack(folder).digest
    assert pack(folder).digest == first
    seen = {first}
    (folder / "scripts/run.py").chmod(0o755)
    seen.add(pack(folder).digest)
    (folder / "scripts/run.py").write_text("print(2)")
    seen.add(pack(folder).digest)
    (folder / "scripts/run.py").rename(folder / "scripts/other.py")
    seen.add(pack(folder).digest)
    assert len(seen) == 4


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: f"---\n{text}\n---\n{text}".encode()))
def test_no_bytes_can_make_reading_fail(data: bytes) -> None:
    parse(data)
