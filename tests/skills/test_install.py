"""Skills from folders and archives: whole or not at all, and nothing that comes along leads out."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent_kernel.cli import main
from agent_kernel.errors import SkillError
from agent_kernel.skills.install import install
from tests.skills.conftest import Write

SKILL = "---\nname: {name}\ndescription: Does what the test of archives needs.\n---\n\nDo it.\n"


def archive(path: Path, files: dict[str, str | bytes], **modes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = modes.get(Path(name).stem, stat.S_IFREG | 0o644) << 16
            packed.writestr(entry, data)
    return path


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_collection_is_installed_from_a_folder_and_from_a_zip(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"c-main/README.md": "x", "c-main/one/SKILL.md": SKILL.format(name="one"),
             "c-main/one/scripts/run.sh": "echo hi", "c-main/deep/two/SKILL.md": SKILL.format(name="two"),
             "__MACOSX/c-main/._x": b"\0"}  # fmt: skip
    packed = archive(tmp_path / "c.zip", files, run=stat.S_IFREG | 0o4755)
    names = [skill.name for skill in install(packed, tmp_path / "a")]
    assert names == ["two", "one"]
    assert everything(tmp_path / "a") == ["one/SKILL.md", "one/scripts/run.sh", "two/SKILL.md"]
    assert stat.S_IMODE((tmp_path / "a/one/scripts/run.sh").stat().st_mode) == 0o755
    install(tmp_path / "a", tmp_path / "b")
    assert everything(tmp_path / "b") == everything(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("../out.txt", stat.S_IFREG, "leads out"),
        ("/etc/out.txt", stat.S_IFREG, "leads out"),
        ("a/../../out.txt", stat.S_IFREG, "leads out"),
        ("C:/out.txt", stat.S_IFREG, "leads out"),
        ("..\\out.txt", stat.S_IFREG, "leads out"),
        ("out\n.txt", stat.S_IFREG, "leads out"),
        ("out.txt", stat.S_IFLNK | 0o777, "a link or no file"),
        ("out.txt", stat.S_IFIFO, "a link or no file"),
        ("zoo/skill.MD", stat.S_IFREG, "twice"),
    ],
)
def test_an_archive_that_would_lead_out_is_refused_whole(
    tmp_path: Path, name: str, mode: int, said: str
) -> None:
    files: dict[str, str | bytes] = {"zoo/SKILL.md": SKILL.format(name="zoo"), name: "/etc/passwd"}
    packed = archive(
        tmp_path / "x.zip", files, **{Path(name).stem: mode | 0o644} if "zoo" not in name else {}
    )
    with pytest.raises(SkillError, match=said):
        install(packed, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []
    assert not list(tmp_path.rglob("out*"))


def test_bombs_are_refused(tmp_path: Path) -> None:
    good = SKILL.format(name="zoo")
    many: dict[str, str | bytes] = {f"zoo/{n}": "" for n in range(2_100)}
    packed = archive(tmp_path / "many.zip", {"zoo/SKILL.md": good, **many})
    with pytest.raises(SkillError, match="more than 2,000 files"):
        install(packed, tmp_path / "target")
    packed = archive(tmp_path / "flat.zip", {"zoo/SKILL.md": good, "zoo/big": b"\0" * (30 << 20)})
    with pytest.raises(SkillError, match="grows without end"):
        install(packed, tmp_path / "target")
    packed = archive(tmp_path / "liar.zip", {"zoo/SKILL.md": good, "zoo/big": os.urandom(1 << 20) * 65})
    data = packed.read_bytes().replace(struct.pack("<I", 65 << 20), struct.pack("<I", 100))
    packed.write_bytes(data)
    with pytest.raises(SkillError, match=r"cannot be unpacked|more than"):
        install(packed, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_what_is_no_skill_is_refused_with_a_sentence(tmp_path: Path, write: Write) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    (tmp_path / "empty").mkdir()
    broken = archive(tmp_path / "broken.zip", {"zoo/SKILL.md": SKILL.format(name="zoo") * 50})
    broken.write_bytes(broken.read_bytes().replace(b"SKILL.md", b"SKILL.mX", 1)[:-4] + b"\0\0\0\0")
    linked = write("linked", at=tmp_path / "from")
    (linked / "leak").symlink_to("/etc/passwd")
    twice: dict[str, str | bytes] = {f"{n}/SKILL.md": SKILL.format(name="zoo") for n in "ab"}
    for source, said in (
        (tmp_path / "text.zip", "neither a folder nor a ZIP"),
        (tmp_path / "gone", "There is no"),
        (tmp_path / "empty", "There is no SKILL.md"),
        (broken, "cannot be unpacked"),
        (linked, "is a link"),
        (archive(tmp_path / "bad.zip", {"x/SKILL.md": ""}), "x is not installed: description is missing"),
        (archive(tmp_path / "twice.zip", twice), "2 skills that are called zoo"),
    ):
        with pytest.raises(SkillError, match=said):
            install(source, tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_one_that_is_there_is_kept_until_it_is_to_be_replaced(tmp_path: Path, write: Write) -> None:
    new, target = write("one", body="New.", at=tmp_path / "from"), tmp_path / "target"
    write("one", body="Old.", at=target, files={"more.md": "x"})
    with pytest.raises(SkillError, match=r"is there already. Say --replace"):
        install(new, target)
    assert "Old." in (target / "one/SKILL.md").read_text()
    install(new, target, replace=True)
    assert everything(target) == ["one/SKILL.md"]
    assert "New." in (target / "one/SKILL.md").read_text()


# -- the commands --------------------------------------------------------------------------------------------


@pytest.fixture
def cli(home: Path, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(workspace)
    return CliRunner()


def skills(cli: CliRunner, *arguments: str, input: str = "") -> Result:  # noqa: A002 - as click calls it
    return cli.invoke(main, ["skills", *arguments], input=input)


def test_a_skill_is_begun_checked_trusted_changed_and_removed(cli: CliRunner, workspace: Path) -> None:
    path = workspace / ".agents/skills/weekly-report/SKILL.md"
    done = skills(cli, "new", "weekly-report", "--workspace", "--description", 'Writes: the "weekly" report.')
    assert done.exit_code == 0, done.output
    assert skills(cli, "validate", str(path)).exit_code == 0
    assert skills(cli, "new", "weekly-report", "--workspace").output.endswith("is there already.\n")

    def state() -> str:
        lines = [json.loads(line) for line in skills(cli, "list", "--json").output.splitlines()]
        return next(str(entry["state"]) for entry in lines if entry["name"] == "weekly-report")

    assert state() == "untrusted"
    assert "agent-kernel skills trust" in skills(cli, "list").output
    refused = skills(cli, "trust", input="n\n")
    assert 'Writes: the "weekly" report.' in refused.output
    assert state() == "untrusted"
    assert skills(cli, "trust", "weekly-report", input="y\n").exit_code == 0
    assert state() == "on"
    assert skills(cli, "trust").output == "There is nothing to trust.\n"
    assert skills(cli, "trust", "--revoke").exit_code == 0
    assert state() == "untrusted"
    skills(cli, "trust", "--yes")
    path.write_text(path.read_text() + "More.\n")
    assert state() == "untrusted"
    assert "More." in skills(cli, "show", "weekly-report").output
    assert skills(cli, "remove", "weekly-report", input="n\n").exit_code == 1
    assert path.exists()
    assert skills(cli, "remove", "weekly-report", "--yes").exit_code == 0
    assert not path.parent.exists()


def test_what_cannot_be_done_is_one_sentence(cli: CliRunner, tmp_path: Path) -> None:
    for arguments, said in (
        (["show", "nothing-like-it"], "There is no skill 'nothing-like-it'."),
        (["remove", "data-analysis"], "data-analysis belongs to agent-kernel."),
        (["remove", "gone"], "There is no skill 'gone'."),
        (["new", "Bad Name"], "Say bad-name."),
        (["new", "../../x"], "is no name for a skill"),
        (["validate", str(tmp_path / "gone")], "is not a folder"),
        (["install", str(tmp_path / "gone")], "There is no"),
        (["list", "--cwd", str(tmp_path / "gone")], "is not a folder"),
        (["trust", "gone"], "There is no skill 'gone'."),
    ):
        done = skills(cli, *arguments)
        assert done.exit_code in (1, 2), arguments
        assert said in done.output, done.output
        assert "Traceback" not in done.output


def test_trust_is_not_kept_where_the_agent_could_write_it(
    cli: CliRunner, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(workspace / "data"))
    skills(cli, "new", "mine", "--workspace")
    done = skills(cli, "trust", "--yes")
    assert (done.exit_code, "the agent could write it" in done.output) == (1, True)


def test_installed_ones_are_seen_and_those_of_the_workspace_trusted(cli: CliRunner, tmp_path: Path) -> None:
    packed = archive(tmp_path / "one.skill", {"one/SKILL.md": SKILL.format(name="one"), "one/a.py": "1"})
    assert skills(cli, "install", str(packed)).exit_code == 0
    assert skills(cli, "install", str(packed), "--workspace").exit_code == 0
    found = [json.loads(line) for line in skills(cli, "list", "--json").output.splitlines()]
    assert [(e["scope"], e["state"]) for e in found if e["name"] == "one"] == [
        ("workspace", "on"),
        ("user", "shadowed"),
    ]
    assert skills(cli, "install", str(packed)).exit_code == 1


def test_hostile_text_reaches_no_terminal(cli: CliRunner, write: Write) -> None:
    write(
        "sly", '"\\e]0;title\\a\\e[31mRed \\u202e text of some length"', body="\x1b[31mred\x1b]52;c;aGk=\x07"
    )
    shown = (
        skills(cli, "list").output + skills(cli, "show", "sly").output + skills(cli, "validate", ".").output
    )
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


def test_validate_names_every_skill_of_a_folder_and_its_exit_status_is_strict_if_asked(
    cli: CliRunner, write: Write, home: Path
) -> None:
    write("good")
    write("linking", body="See [it](gone.md).")
    place = str(home / ".agents/skills")
    done = skills(cli, "validate", place)
    assert (done.exit_code, done.output.count("good\n")) == (0, 1)
    assert skills(cli, "validate", "--strict", place).exit_code == 1
    (home / ".agents/skills/good/SKILL.md").write_bytes(b"")
    assert skills(cli, "validate", place).exit_code == 1


def test_an_archive_can_come_through_any_bytes(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        packed.writestr("zoo/SKILL.md", SKILL.format(name="zoo"))
    data = whole.getvalue()
    for place in range(0, len(data), 7):
        (tmp_path / "x.zip").write_bytes(data[:place] + b"\xff" + data[place + 1 :])
        try:
            install(tmp_path / "x.zip", tmp_path / "target", replace=True)
        except SkillError:
            continue
