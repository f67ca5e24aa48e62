"""What lies in a workspace and is still not the agent's: places hidden from it, and places it may only read.

A workspace is a person's folder. It can hold their Python environment, their repository's hooks, the platform's
own files, even their whole home; what is written there would run outside the sandbox later. Landlock cannot take
back what it gave for the whole folder: only bubblewrap's tier keeps these.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

SANDBOXES = "sandboxes"
"""The folder of sandboxes in the data folder, which holds all runs beside it."""


def hidden(workspace: Path, store: Path) -> list[Path]:
    """Places below `workspace` that the agent does not see: where runs, sandboxes and snapshots are kept (`store`
    is this sandbox's folder), and, where the workspace holds the person's home, its dot files."""
    kept = [store.parent.parent] if store.parent.name == SANDBOXES else []
    found = [next((p for p in (*kept, store.parent, store) if _below(p, workspace)), None)]
    home = Path.home().resolve()
    if home == workspace or _below(home, workspace):
        with os.scandir(home) as entries:
            found += [home / e.name for e in entries if e.name.startswith(".") and not e.is_symlink()]
    places = {path for path in found if path is not None and _real(path)}
    return sorted(path for path in places if not any(_below(path, other) for other in places))


def read_only(workspace: Path, python: Iterable[str]) -> list[tuple[Path, bool]]:
    """(place, writable) to be mounted anew, in this order. `git status` of a person runs what `.git/config` and
    the hooks say; `.git` itself is a mount so that it cannot be renamed away from above them."""
    git = workspace / ".git"
    places = [(git, git.is_dir()), (git / "config", False), (git / "hooks", False)]
    if git.is_file():  # a worktree: the file says where the repository is
        places = [(git, False)]
    environments = [(Path(folder), False) for folder in python if _below(Path(folder), workspace)]
    return [(path, writable) for path, writable in (*places, *environments) if _real(path)]


def _below(path: Path, folder: Path) -> bool:
    return path != folder and path.is_relative_to(folder)


def _real(path: Path) -> bool:
    """It is there, and no part of it is a link that would have something else shown."""
    try:
        return path.resolve(strict=True) == path
    except OSError:
        return False
