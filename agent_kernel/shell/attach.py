"""`@path`: a file of the workspace named in a prompt, and as much of it as a prompt can carry."""

from __future__ import annotations

import difflib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.shell.summary import size

WHOLE_BYTES = 8 << 10
HEAD_BYTES = 4 << 10
MOST_ENTRIES = 50
_ENDINGS = """
csv tsv txt md rst json jsonl ndjson yaml yml toml ini cfg xml html css js ts tsx py ipynb r sql sh log tex
parquet feather xlsx xls ods db sqlite pdf png jpg jpeg gif svg webp zip gz tar npy npz pkl h5
""".split()  # noqa: SIM905 - a list of words reads best as words


@dataclass(frozen=True, slots=True)
class FileReference:
    """What to say of a file: `path` within the workspace, `body` to attach, `tail` that follows the path
    in the sentence; or the `problem` with it."""

    path: str = ""
    body: str = ""
    tail: str = ""
    problem: str = ""
    hint: str = ""


def file_reference(workspace: Path, typed: str, *, quoted: bool = False) -> FileReference | None:
    """The file that `@typed` names; None when it names none and does not look as if it should.

    Punctuation that ends a sentence is not part of a name, unless such a file exists.
    """
    for name in dict.fromkeys((typed, typed.rstrip(".:!?…"))):
        path = Path(os.path.expanduser(name))
        try:
            inside = (workspace / path).resolve().relative_to(workspace.resolve())
            info = (workspace / inside).stat()
        except (ValueError, RuntimeError):  # outside, or a NUL, or a loop of links
            if name and _exists(workspace / path):
                return FileReference(
                    problem="that is outside the workspace.", hint=f"Copy it into {workspace}."
                )
            continue
        except OSError:
            continue
        return _described(workspace / inside, inside, info, typed[len(name) :])
    if quoted or _looks_like_a_path(workspace, typed.rstrip(".:!?…")):
        return FileReference(problem="there is no such file in the workspace.", hint=_close(workspace, typed))
    return None


def fenced(text: str) -> str:
    """A Markdown code block that its own content cannot close."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _described(path: Path, inside: Path, info: os.stat_result, tail: str) -> FileReference:
    name = inside.as_posix()
    if stat.S_ISDIR(info.st_mode):
        return FileReference(f"{name}/", _listing(path), tail)
    if not stat.S_ISREG(info.st_mode):
        return FileReference(problem="that is neither a file nor a folder.")
    try:
        with path.open("rb") as file:
            data = file.read(WHOLE_BYTES + 1)
    except OSError as error:
        return FileReference(problem=f"it cannot be read: {error.strerror}.")
    text = _text(data)
    if text is None:
        return FileReference(name, "", f" (binary, {size(info.st_size)}){tail}")
    if len(data) <= WHOLE_BYTES:
        return FileReference(name, fenced(text), tail)
    head = text[:HEAD_BYTES]
    head = head[: head.rfind("\n") + 1] or head
    return FileReference(name, f"(its beginning; {size(info.st_size)} in all)\n{fenced(head)}", tail)


def _text(data: bytes) -> str | None:
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        cut_off = error.start >= len(data) - 4 and len(data) > WHOLE_BYTES
        return data[: error.start].decode("utf-8") if cut_off else None


def _listing(folder: Path) -> str:
    try:
        names = sorted(f"{e.name}/" if e.is_dir() else e.name for e in os.scandir(folder))
    except OSError as error:
        return f"(cannot be listed: {error.strerror})"
    more = [f"… and {len(names) - MOST_ENTRIES} more"] if len(names) > MOST_ENTRIES else []
    return fenced("\n".join([*names[:MOST_ENTRIES], *more]) or "(empty)")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _looks_like_a_path(workspace: Path, name: str) -> bool:
    """Decorators, handles and npm scopes are not files; what ends like a file, or lies in a folder, is."""
    if name.rpartition(".")[2].lower() in _ENDINGS and "." in name:
        return True
    folder, slash, _ = name.rpartition("/")
    return bool(slash and folder) and _exists(workspace / folder)


def _close(workspace: Path, name: str) -> str:
    folder = (workspace / name).parent
    try:
        names = os.listdir(folder if folder.is_relative_to(workspace) else workspace)
    except (OSError, ValueError):
        return "Nothing was run."
    close = difflib.get_close_matches(Path(name).name, names, 1)
    return f"Did you mean {close[0]}?" if close else "Nothing was run."
