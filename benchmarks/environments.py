"""Virtual environments of other people's programs, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PATIENCE = 600.0
NEWEST = 14


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-kernel-bench"


def interpreter(least: tuple[int, int]) -> str:
    """This Python, or the oldest other one here that is at least `least`. Raises RuntimeError where there is none."""
    if sys.version_info >= least:
        return sys.executable
    homes = sorted(Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob("versions/3.*/bin"))
    for minor in range(least[1], NEWEST + 1):
        for folder in (None, *homes):
            found = shutil.which(f"python3.{minor}", path=folder and str(folder))
            # A pyenv's name for a Python that is not switched on is found, and does not answer.
            if (
                found
                and not subprocess.run(
                    [found, "-c", "import venv, ensurepip"], capture_output=True
                ).returncode
            ):
                return found
    raise RuntimeError(
        f"it needs Python {least[0]}.{least[1]}; here is {sys.version_info[0]}.{sys.version_info[1]}"
    )


def environment(name: str, *requirements: str, make: bool = True, least: tuple[int, int] = (3, 11)) -> Path:
    """The Python of an environment with `requirements`. Raises RuntimeError with the reason when there is none."""
    base = interpreter(least)
    key = hashlib.sha256("\0".join((base, sys.version, *requirements)).encode()).hexdigest()[:12]
    place = cache() / f"{name}-{key}"
    python = place / "bin" / "python"
    if (place / "complete").exists():
        return python
    if not make:
        raise RuntimeError("it takes long; make bench LONG=1")
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([base, "-m", "venv", str(place)], check=True, capture_output=True)
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(requirements)} was not installed within {PATIENCE:g} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines()
        why = words[-1].removeprefix("ERROR: ")[:120] if words else ""
        raise RuntimeError(f"no installation with {Path(base).name}: {why}")
    (place / "complete").touch()
    return python
