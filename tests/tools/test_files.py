"""The file tools in a real sandbox, on files nobody wishes for."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent_kernel.events import CodeGeneration
from tests.tools.conftest import Desk, said
from tests.tools.test_images import png


def fill(path: Path, pieces: list[bytes], size: int | None = None) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
        if size is not None:
            file.truncate(size)


# -- read_file -----------------------------------------------------------------------------------------


async def test_lines_are_numbered_and_windows_ends_left_out(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_bytes(b"one\r\ntwo\n\nlast")
    assert await desk.text("read_file", path="a.txt") == "     1\tone\n     2\ttwo\n     3\t\n     4\tlast"


async def test_a_line_split_between_two_reads_is_one_line(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_bytes(b"x" * ((1 << 20) - 3) + b"\nsecond line\nthird\n")
    assert await desk.text("read_file", path="a.txt", offset=2) == "     2\tsecond line\n     3\tthird"


async def test_a_line_of_100_mb_shows_its_beginning_and_its_length(desk: Desk) -> None:
    fill(desk.workspace / "b.txt", [b"y" * 1_000_000] * 100 + [b"\nnext\n"])
    text = await desk.text("read_file", path="b.txt")
    assert text.endswith("… (a line of 100,000,000 bytes)\n     2\tnext")
    assert len(text) < 2_100


async def test_what_is_shown_is_bounded_and_says_where_to_go_on(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_text("word " * 300 + "\n" + "x\n" * 100_000)
    output = await desk.call("read_file", 60, 1000, path="a.txt")
    assert said(output).splitlines()[-1] == "… there is more; go on with offset 2."


async def test_escapes_in_a_file_are_seen_and_not_obeyed(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_bytes(b"\x1b[31mred\x1b]0;x\x07 a\rb \xff\xfe <b>\n")
    assert await desk.text("read_file", path="a.txt") == "     1\t␛[31mred␛]0;x␇ a␍b �� <b>"


async def test_a_missing_file_names_those_that_are_near(desk: Desk) -> None:
    (desk.workspace / "data").mkdir()
    (desk.workspace / "data" / "sales_2024.csv").write_text("a")
    (desk.workspace / "data" / "zzz\n\x1b[31m").write_text("a")
    text = await desk.error("read_file", path="data/sales_2025.csv")
    assert text == "There is no file data/sales_2025.csv. There is: sales_2024.csv."
    assert "zzz␊␛[31m" in await desk.error("read_file", path="data/zzz1")
    assert "folder nowhere is not there" in await desk.error("read_file", path="nowhere/a.csv")


async def test_an_image_is_seen_by_the_model(desk: Desk) -> None:
    (desk.workspace / "chart.txt").write_bytes(png(3, 2))
    output = await desk.call("read_file", path="chart.txt")
    assert [block["type"] for block in output.content] == ["image"]
    assert output.content[0]["source"]["media_type"] == "image/png"


async def test_an_image_the_model_could_not_see_is_described(desk: Desk) -> None:
    (desk.workspace / "cut.png").write_bytes(png(300, 300)[:60])
    assert "damaged or cut off" in await desk.error("read_file", path="cut.png")
    (desk.workspace / "wide.png").write_bytes(png(9000, 1))
    assert "9,000 × 1 pixels" in await desk.error("read_file", path="wide.png")
    fill(desk.workspace / "big.png", [png(3, 2)], size=3 << 30)
    os.symlink("big.png", desk.workspace / "link.png")
    for path in ("big.png", "link.png"):
        assert "larger than" in await desk.error("read_file", path=path)


async def test_what_is_neither_file_nor_folder_is_an_error_at_once(desk: Desk) -> None:
    os.mkfifo(desk.workspace / "pipe")
    os.symlink("/dev/zero", desk.workspace / "zero")
    os.symlink("nowhere", desk.workspace / "dangling")
    for path in ("pipe", "zero", "dangling", "/dev/zero", "a\0b"):
        await desk.error("read_file", path=path)


async def test_nothing_outside_is_read(desk: Desk) -> None:
    secret = desk.workspace.parent / "secret.txt"
    secret.write_text("canary")
    os.symlink(secret, desk.workspace / "link")
    for path in ("../secret.txt", str(secret), "link"):
        assert "canary" not in await desk.error("read_file", path=path)


# -- write_file ----------------------------------------------------------------------------------------


async def test_writing_says_what_was_done(desk: Desk) -> None:
    assert await desk.text("write_file", path="n/a.md", content="é\n") == "Wrote n/a.md (3 bytes, 1 line)."
    text = await desk.text("write_file", path="n/a.md", content="a\nb")
    assert text == "Replaced n/a.md (3 bytes, 2 lines)."


async def test_source_code_is_told_as_such_and_data_is_not(desk: Desk) -> None:
    output = await desk.call("write_file", path="A.PY", content="x = 1\n")
    (event,) = output.events
    assert isinstance(event, CodeGeneration)
    assert (event.language, event.code, event.path) == ("python", "x = 1\n", "A.PY")
    assert (await desk.call("write_file", path="a.csv", content="x")).events == []


async def test_what_cannot_be_written_is_said_and_loses_nothing(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_text("kept")
    closed = desk.workspace / "closed"
    closed.mkdir(mode=0o555)
    assert "Permission denied" in await desk.error("write_file", path="closed/x", content="x")
    assert "a.txt/x" in await desk.error("write_file", path="a.txt/x", content="x")
    for path in ("/etc/passwd", "../out.txt", "/usr/bin/ls", "a\0b"):
        await desk.error("write_file", path=path, content="x")
    assert (desk.workspace / "a.txt").read_text() == "kept"
    assert not (desk.workspace.parent / "out.txt").exists()


async def test_a_link_out_of_the_workspace_is_not_followed(desk: Desk) -> None:
    outside = desk.workspace.parent / "outside.txt"
    outside.write_text("kept")
    os.symlink(outside, desk.workspace / "link")
    await desk.call("write_file", path="link", content="x")
    assert outside.read_text() == "kept"


async def test_characters_no_file_can_hold_do_not_fail(desk: Desk) -> None:
    await desk.text("write_file", path="a.txt", content="a\ud800b")
    assert (desk.workspace / "a.txt").read_bytes() == b"a?b"


# -- edit_file -----------------------------------------------------------------------------------------


async def test_an_edit_replaces_one_exact_place(desk: Desk) -> None:
    (desk.workspace / "a.py").write_text("a = 1\nb = 1\n")
    text = await desk.text("edit_file", path="a.py", old_string="b = 1", new_string="b = r'\\1'")
    assert text == "Edited a.py: 1 replacement (line 2)."
    assert (desk.workspace / "a.py").read_text() == "a = 1\nb = r'\\1'\n"


async def test_replacing_all_tells_the_places(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_text("x\ny\nx\n")
    text = await desk.text("edit_file", path="a.txt", old_string="x", new_string="z", replace_all=True)
    assert text == "Edited a.txt: 2 replacements (line 1, 3)."


async def test_an_edit_that_fits_nowhere_points_to_what_is_near(desk: Desk) -> None:
    (desk.workspace / "a.py").write_text("def total(rows):\n\treturn sum(rows)\n")
    edits = {
        "def total(row):": "Nearest is line 1",
        "    return sum(rows)": "other white space",
        "zzz": "may have",
    }
    for old, hint in edits.items():
        assert hint in await desk.error("edit_file", path="a.py", old_string=old, new_string="x")
    assert (desk.workspace / "a.py").read_text() == "def total(rows):\n\treturn sum(rows)\n"


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\n", "a\nb", "a\nc", b"a\r\nc\r\n"),
        (b"a\r\nb\r\n", "b", "b\nc", b"a\r\nb\r\nc\r\n"),
        (b"a\r\nb\r\n", "a\r\nb", "c", b"c\r\n"),
        (b"a\r\nb\nc\r\n", "b\nc", "B\nC", b"a\r\nB\nC\r\n"),
        (b"a\r\nb\nc\r\n", "a\nb", "A\nB", b"A\r\nB\nc\r\n"),
        (b"a\r\nb\nc\r\n", "a\r\n", "A\r\n", b"A\r\nb\nc\r\n"),
        (b"a\rb", "b", "c", b"a\rc"),
        (b"\xef\xbb\xbfa", "a", "b", b"\xef\xbb\xbfb"),
        (b"no end", "end", "end\n", b"no end\n"),
    ],
)
async def test_what_was_not_meant_stays_as_it_was(
    desk: Desk, before: bytes, old: str, new: str, after: bytes
) -> None:
    (desk.workspace / "a.txt").write_bytes(before)
    await desk.text("edit_file", path="a.txt", old_string=old, new_string=new)
    assert (desk.workspace / "a.txt").read_bytes() == after


async def test_mode_and_link_survive_an_edit(desk: Desk) -> None:
    script = desk.workspace / "run.sh"
    script.write_text("echo 1\n")
    script.chmod(0o755)
    os.symlink("run.sh", desk.workspace / "link.sh")
    await desk.text("edit_file", path="link.sh", old_string="1", new_string="2")
    assert (script.read_text(), script.stat().st_mode & 0o777) == ("echo 2\n", 0o755)
    assert (desk.workspace / "link.sh").is_symlink()


async def test_an_edit_refuses_what_it_would_damage(desk: Desk) -> None:
    (desk.workspace / "binary").write_bytes(b"a\0b")
    assert "binary" in await desk.error("edit_file", path="binary", old_string="a", new_string="b")
    fill(desk.workspace / "huge.txt", [], size=3 << 30)
    os.symlink("huge.txt", desk.workspace / "link.txt")
    for path in ("huge.txt", "link.txt"):
        assert "too many to edit" in await desk.error("edit_file", path=path, old_string="a", new_string="b")
    assert "is a folder" in await desk.error("edit_file", path=".", old_string="a", new_string="b")
    assert "no file" in await desk.error("edit_file", path="gone", old_string="a", new_string="b")


async def test_a_file_that_comes_and_goes_never_breaks_a_call(desk: Desk) -> None:
    flicker = "while :; do echo x > f.txt; rm f.txt; mkdir f.txt; rmdir f.txt; ln -s /dev/zero f.txt; rm f.txt; done"
    await desk.text("bash", command=flicker, background=True)
    for _ in range(30):
        outputs = await asyncio.gather(
            desk.call("read_file", path="f.txt"),
            desk.call("edit_file", path="f.txt", old_string="x", new_string="y"),
            desk.call("search_files", pattern="x"),
            desk.call("list_files"),
        )
        for output in outputs:
            assert "itself failed" not in said(output)


# -- list_files and search_files -----------------------------------------------------------------------


async def test_a_list_is_sorted_with_sizes_and_without_what_is_hidden(desk: Desk) -> None:
    for name in ("b.txt", "a/z.py", "a/b/c.txt", ".git/config", "node_modules/x.js", "__pycache__/x.pyc"):
        path = desk.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1234")
    assert (await desk.text("list_files")).splitlines() == [
        "a/",
        "a/b/",
        "a/b/c.txt  4",
        "a/z.py  4",
        "b.txt  4",
    ]
    assert (await desk.text("list_files", depth=1)).splitlines() == ["a/", "b.txt  4"]
    assert (await desk.text("list_files", path="a", pattern="*.txt")).splitlines() == ["b/c.txt  4"]
    assert await desk.text("list_files", path="b.txt") == "b.txt  4"
    assert "nothing there that fits" in await desk.text("list_files", pattern="*.csv")


async def test_a_hostile_name_stays_one_line(desk: Desk) -> None:
    (desk.workspace / "a\nevil.txt  999\x1b[2J").write_text("needle")
    (desk.workspace / os.fsdecode(b"bad\xff.txt")).write_text("needle")
    (desk.workspace / "-rf").write_text("needle")
    assert (await desk.text("list_files")).splitlines() == ["-rf  6", "a␊evil.txt  999␛[2J  6", "bad�.txt  6"]
    found = (await desk.text("search_files", pattern="needle")).splitlines()
    assert found == ["-rf:1: needle", "a␊evil.txt  999␛[2J:1: needle", "bad�.txt:1: needle"]


async def test_many_files_are_cut_and_it_is_said(desk: Desk) -> None:
    for number in range(600):
        (desk.workspace / f"{number:04}.txt").write_text("needle")
    listed = (await desk.text("list_files")).splitlines()
    assert len(listed) == 501 and "more than 500" in listed[-1]
    found = (await desk.text("search_files", pattern="needle")).splitlines()
    assert len(found) == 501 and "narrow" in found[-1]


async def test_lines_around_a_hit_are_shown_once(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_text("1\n2 hit\n3\n4 hit\n5\n6\n")
    found = (await desk.text("search_files", pattern="hit", context=1)).splitlines()
    assert found == ["a.txt:1- 1", "a.txt:2: 2 hit", "a.txt:3- 3", "a.txt:4: 4 hit", "a.txt:5- 5"]


async def test_line_numbers_are_those_of_read_file(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_bytes("a\u2028b\x0cc\n".encode() + b"x" * 300_000 + b"\nhit\r\n")
    assert await desk.text("search_files", pattern="hit$") == "a.txt:3: hit"
    assert await desk.text("read_file", path="a.txt", offset=3) == "     3\thit"


async def test_a_large_file_is_searched_too(desk: Desk) -> None:
    fill(desk.workspace / "large.csv", [b"some,text,here,42\n" * 50_000] * 60 + [b"4,needle,6\n"])
    assert await desk.text("search_files", pattern="needle") == "large.csv:3000001: 4,needle,6"


async def test_pipes_and_devices_do_not_hold_a_search(desk: Desk) -> None:
    os.mkfifo(desk.workspace / "pipe")
    os.symlink("pipe", desk.workspace / "to-pipe")
    os.symlink("/dev/zero", desk.workspace / "zero")
    (desk.workspace / "z.txt").write_text("needle")
    assert await desk.text("search_files", pattern="needle") == "z.txt:1: needle"
    for path in ("pipe", "zero"):
        assert await desk.text("search_files", pattern="needle", path=path) == "Nothing was found."


async def test_a_pattern_that_explodes_is_stopped(desk: Desk) -> None:
    (desk.workspace / "a.txt").write_text("a" * 60 + "b\n")
    output = await desk.call("search_files", 1, pattern="(a+)+$")
    assert output.is_error and "longer than 1 s" in said(output)
    gone = "for i in $(seq 100); do pgrep -f '[f]nmatch' > /dev/null || exec echo gone; sleep 0.1; done; echo there"
    assert await desk.text("bash", command=gone) == "gone"


async def test_a_bad_pattern_and_a_missing_folder_are_said(desk: Desk) -> None:
    assert "'(' is not a regular expression: missing )" in await desk.error("search_files", pattern="(")
    assert "no folder or file nowhere" in await desk.error("search_files", pattern="x", path="nowhere")
