"""The sandbox's image: its recipe, in the package, and how it becomes a snapshot at Daytona."""

from __future__ import annotations

import base64
import gzip
import io
import re
import tarfile
from pathlib import Path

from agent_kernel.errors import SandboxError

_COPY = re.compile(r"^COPY (\S+) (\S+)$", re.MULTILINE)


def recipe() -> Path:
    """The folder with the Dockerfile."""
    package = Path(__file__).parents[1]
    for folder in (package / "sandbox_image", package.parent / "sandbox-image"):
        if (folder / "Dockerfile").is_file():
            return folder
    raise SandboxError(
        "The image's recipe is not part of this installation.", hint="Install agent-kernel again."
    )


def self_contained(folder: Path) -> str:
    """The Dockerfile with what it copies inside it: a service that builds it needs no other file.

    The same files give the same text, whenever they were written.
    """

    def carried(copy: re.Match[str]) -> str:
        source, target = folder / copy[1], copy[2]
        packed = base64.b64encode(_packed(source, Path(target).name)).decode()
        parent = str(Path(target).parent)
        return f"RUN mkdir -p {parent} && echo {packed} | base64 -d | tar -xz -C {parent}"

    return _COPY.sub(carried, (folder / "Dockerfile").read_text(encoding="utf-8"))


def _packed(source: Path, name: str) -> bytes:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in [source, *sorted(source.rglob("*"))]:
            if "__pycache__" not in path.parts:
                inside = name if path == source else f"{name}/{path.relative_to(source)}"
                archive.add(path, inside, recursive=False, filter=plain)
    return gzip.compress(raw.getvalue(), mtime=0)
