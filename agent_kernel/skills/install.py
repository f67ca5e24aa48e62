"""Skills from a folder or a ZIP file into a folder of skills: all of them, or none.

What comes from elsewhere is hostile: a name that leads out, a link, a bomb or a broken archive refuses the
whole, before anything is where a skill is looked for.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from agent_kernel.errors import SkillError
from agent_kernel.skills.contents import MOST_BYTES, MOST_FILES, PASSED_OVER, read_regular
from agent_kernel.skills.skill import FILE, Skill, is_skill, read_skill

MOST_RATIO = 200
"""How much larger than its packed form a file of more than a megabyte may be."""
_PIECE = 1 << 20


def install(source: Path, target: Path, *, replace: bool = False) -> list[Skill]:
    """Put the skills of `source` into the folder `target`; those that now are there. Raises SkillError."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=target, prefix=".install-") as scratch,
            _folder(source, Path(scratch)) as folder,
        ):
            skills = _found(folder, source)
            placed = [_staged(skill, Path(scratch) / "staged", target, replace) for skill in skills]
            for staged, place in placed:
                _put(staged, place, Path(scratch))
    except OSError as error:
        raise SkillError(f"{source} cannot be installed in {target}: {error.strerror or error}.") from None
    return [read_skill(place) for _, place in placed]


def remove(skill: Skill) -> None:
    """Delete a skill's folder; of a link, the link alone. Raises SkillError."""
    try:
        if skill.folder.is_symlink():
            skill.folder.unlink()
        else:
            shutil.rmtree(skill.folder)
    except OSError as error:
        raise SkillError(f"{skill.folder} cannot be removed: {error.strerror or error}.") from None


@contextmanager
def _folder(source: Path, scratch: Path) -> Iterator[Path]:
    """A folder that holds what is to be installed, nothing in it a link."""
    if source.is_dir():
        copy = scratch / "copy" / (source.resolve().name or "skill")
        _copy_folder(source, copy)
        yield copy
    elif zipfile.is_zipfile(source):
        unpacked = scratch / "copy" / source.stem
        _unpack(source, unpacked)
        yield unpacked
    elif source.exists():
        raise SkillError(f"{source} is neither a folder nor a ZIP file.")
    else:
        raise SkillError(f"There is no {source}.", hint="Name a folder or a ZIP file that is here.")


def _found(folder: Path, source: Path) -> list[Skill]:
    """The skills in a folder: itself, or those below it. Raises SkillError when one cannot be used."""
    places = (
        [folder] if is_skill(folder) else sorted(path.parent for path in folder.rglob("*") if _is_file(path))
    )
    if not places:
        raise SkillError(f"There is no {FILE} in {source}.", hint="A skill is a folder that holds one.")
    skills = [read_skill(place) for place in dict.fromkeys(places)]
    for skill in skills:
        for problem in skill.problems:
            if problem.level == "error":
                raise SkillError(f"{skill.folder.name} is not installed: {problem.text}.")
    names = [skill.name for skill in skills]
    for name in names:
        if names.count(name) > 1:
            raise SkillError(f"{source} holds {names.count(name)} skills that are called {name}.")
    return skills


def _is_file(path: Path) -> bool:
    return path.name.lower() == FILE.lower() and path.is_file()


def _staged(skill: Skill, scratch: Path, target: Path, replace: bool) -> tuple[Path, Path]:
    place = target / skill.name
    if os.path.lexists(place) and not replace:
        raise SkillError(f"{place} is there already.", hint="Say --replace to have it replaced.")
    scratch.mkdir(exist_ok=True)
    staged = scratch / skill.name
    shutil.copytree(skill.folder, staged)
    return staged, place


def _put(staged: Path, place: Path, scratch: Path) -> None:
    if os.path.lexists(place):
        place.rename(scratch / f"replaced-{place.name}")
    staged.rename(place)


def _copy_folder(source: Path, copy: Path) -> None:
    count = size = 0
    for folder, folders, names in os.walk(source):
        inside = copy / Path(folder).relative_to(source)
        inside.mkdir(parents=True, exist_ok=True)
        for name in [*folders, *names]:
            if name not in PASSED_OVER and (Path(folder) / name).is_symlink():
                raise SkillError(
                    f"{Path(folder) / name} is a link.", hint="Put the file itself in its place."
                )
        folders[:] = [name for name in folders if name not in PASSED_OVER]
        for name in names:
            if name in PASSED_OVER:
                continue
            path = Path(folder) / name
            data = read_regular(path, MOST_BYTES + 1)
            count, size = count + 1, size + len(data)
            _bounded(source, count, size)
            (inside / name).write_bytes(data)
            (inside / name).chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)


def _unpack(source: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            seen: set[str] = set()
            size = 0
            _bounded(source, len(entries), sum(entry.file_size for entry in entries))
            for entry in entries:
                name = _safe_name(source, entry, seen)
                if name is None:
                    continue
                size = _unpack_one(archive, entry, target / name, size, source)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
    ) as error:
        raise SkillError(f"{source} cannot be unpacked: {error}.") from None
    target.mkdir(parents=True, exist_ok=True)


def _safe_name(source: Path, entry: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """Where an entry belongs; None for folders and for what a Mac adds. Raises SkillError for what may hurt."""
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not name.isprintable():
        raise SkillError(f"{source} holds {name!r}, a name that leads out of its folder.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SkillError(f"{source} holds {name!r}, which is a link or no file.")
    if entry.flag_bits & 0x1:
        raise SkillError(f"{source} is encrypted.", hint="Unpack it, and install the folder.")
    if entry.is_dir() or any(part in PASSED_OVER or part == "__MACOSX" for part in path.parts):
        return None
    if (folded := unicodedata.normalize("NFC", name).casefold()) in seen:
        raise SkillError(f"{source} holds {name!r} twice.")
    seen.add(folded)
    return str(path)


def _unpack_one(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, size: int, source: Path
) -> int:
    """Write one file, counting what really comes out and not what the archive says of itself."""
    place.parent.mkdir(parents=True, exist_ok=True)
    own = 0
    with archive.open(entry) as packed, place.open("xb") as file:
        while piece := packed.read(_PIECE):
            own += len(piece)
            _bounded(source, 0, size + own)
            if own > _PIECE and own > MOST_RATIO * max(entry.compress_size, 1):
                raise SkillError(f"{source} holds {entry.filename!r}, which grows without end when unpacked.")
            file.write(piece)
    place.chmod(0o755 if (entry.external_attr >> 16) & 0o111 else 0o644)
    return size + own


def _bounded(source: Path, count: int, size: int) -> None:
    if count > MOST_FILES or size > MOST_BYTES:
        raise SkillError(
            f"{source} has more than {MOST_FILES:,} files or {MOST_BYTES >> 20} MiB.",
            hint="Install less at once.",
        )
