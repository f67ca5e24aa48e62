"""A workspace's files, reached through directory descriptors: no symlink is followed, so that a folder swapped for a
link while one looks, or writes, leads nowhere."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO

from agent_kernel.errors import SandboxError

SKIPPED = frozenset(
    {".git", "node_modules", "__pycache__", ".venv", "venv", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache",
     ".ruff_cache", ".tox", ".hypothesis"}
)  # fmt: skip
COLLABORATION = ".jupyter_ystore.db"
"""What jupyter-collaboration keeps beside the notebooks, and changes all the time; its journals begin like that too."""
MOST_DEEP = 64
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_DIR = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY


def clean(path: str) -> str:
    """`path` when it is one below the workspace. Raises SandboxError."""
    parts = path.split("/")
    if not path or "\0" in path or path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise SandboxError(f"{path!r} is not a path of the workspace.")
    return path


# -- looking -------------------------------------------------------------------------------------------


def walk(root: Path, hidden: Collection[str]) -> Iterator[tuple[str, int, str, os.stat_result]]:
    """(path, descriptor of its folder, name, lstat) of files and symlinks; the descriptor is good until the next.
    Raises SandboxError when the root is gone."""
    try:
        directory = os.open(root, _OPEN_DIR)
    except OSError as error:
        raise SandboxError(f"The workspace {root} cannot be looked at: {error.strerror}.") from error
    yield from _walk(directory, "", hidden)


def _walk(
    directory: int, prefix: str, hidden: Collection[str]
) -> Iterator[tuple[str, int, str, os.stat_result]]:
    try:
        folders: list[str] = []
        for entry in _entries(directory):
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                deep = prefix.count("/") >= MOST_DEEP  # each level holds a descriptor
                if entry.name not in SKIPPED and not deep and prefix + entry.name not in hidden:
                    folders.append(entry.name)
            elif prefix + entry.name in hidden or entry.name.startswith(COLLABORATION):
                continue
            elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
                yield prefix + entry.name, directory, entry.name, info
        for name in folders:
            try:
                inner = os.open(name, _OPEN_DIR, dir_fd=directory)
            except OSError:
                continue
            yield from _walk(inner, f"{prefix}{name}/", hidden)
    finally:
        os.close(directory)


def _entries(directory: int) -> Iterable[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        yield from entries


def open_file(root: Path, path: str) -> IO[bytes]:
    """A regular file to read. Raises OSError."""
    with parent(root, path) as (directory, name):
        descriptor = os.open(name, OPEN, dir_fd=directory)
        file = open(descriptor, "rb")  # noqa: SIM115
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise FileNotFoundError(f"{path} is not a file")
        return file


def read_most(file: IO[bytes], most: int) -> bytes:
    """Its first `most` bytes. A plain `file.read(most)` reserves as many before it looks how few there are."""
    size = os.fstat(file.fileno()).st_size
    data = file.read(min(most, size + 1))
    if size < len(data) < most:  # somebody writes to it
        data += file.read(most - len(data))
    return data


def is_folder(root: Path, path: str) -> bool:
    """Whether a folder lies at `path`, and no link to one."""
    with contextlib.suppress(OSError), parent(root, path) as (directory, name):
        return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    return False


# -- changing ------------------------------------------------------------------------------------------


def put_file(root: Path, path: str, source: IO[bytes], mode: int) -> None:
    """Write a file at once, making its folders. Raises OSError; a half written one does not stay."""
    with new_file(root, path, mode) as file:
        shutil.copyfileobj(source, file, 1 << 20)
        os.fchmod(file.fileno(), mode & 0o777)


@contextlib.contextmanager
def new_file(root: Path, path: str, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """A file to write to, which takes its place when all is written."""
    with parent(root, path, make=True) as (directory, name), _partial(directory, name) as partial:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(partial, flags, mode & 0o777, dir_fd=directory), "wb") as file:
            yield file


def put_link(root: Path, path: str, target: str) -> None:
    with parent(root, path, make=True) as (directory, name), _partial(directory, name) as partial:
        os.symlink(target, partial, dir_fd=directory)


def remove(root: Path, path: str) -> None:
    """A file or a link; one that is not there is none to remove."""
    with contextlib.suppress(FileNotFoundError), parent(root, path) as (directory, name):
        os.unlink(name, dir_fd=directory)


def remove_empty(root: Path, path: str) -> None:
    """The folders above `path` that hold nothing any more."""
    while (path := os.path.dirname(path)) != "":
        try:
            with parent(root, path) as (directory, name):
                os.rmdir(name, dir_fd=directory)
        except OSError:
            return


@contextlib.contextmanager
def parent(root: Path, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """(descriptor of the folder, name) of `path`; with `make`, folders that are missing are made."""
    *folders, name = path.split("/")
    with contextlib.ExitStack() as stack:
        directory = _opened(stack, os.fspath(root), None)
        owner = os.fstat(directory)
        for folder in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=directory)
                    _own(folder, owner, directory)
            directory = _opened(stack, folder, directory)
        yield directory, name


@contextlib.contextmanager
def _partial(directory: int, name: str) -> Iterator[str]:
    """A name to write under, which becomes `name` in the end."""
    partial = f".{name[:80]}.{secrets.token_hex(4)}"
    try:
        yield partial
        _own(partial, os.fstat(directory), directory)
        os.rename(partial, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial, dir_fd=directory)
        raise


def _opened(stack: contextlib.ExitStack, name: str, directory: int | None) -> int:
    descriptor = os.open(name, _OPEN_DIR, dir_fd=directory)
    stack.callback(os.close, descriptor)
    return descriptor


def _own(name: str, owner: os.stat_result, directory: int) -> None:
    """What root puts there belongs to whom the folder belongs."""
    if os.geteuid() == 0:
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=directory, follow_symlinks=False)
