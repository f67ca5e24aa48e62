"""Virtual environments of other people's programs, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PATIENCE = 600.0


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-kernel-bench"


def environment(name: str, *requirements: str, make: bool = True) -> Path:
    """The Python of an environment with `requirements`. Raises RuntimeError with the reason when there is none."""
    key = hashlib.sha256("\0".join((sys.version, *requirements)).encode()).hexdigest()[:12]
    place = cache() / f"{name}-{key}"
    python = place / "bin" / "python"
    if (place / "complete").exists():
        return python
    if not make:
        raise RuntimeError("it takes long; make bench LONG=1")
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{' '.join(requirements)} was not installed within {PATIENCE:g} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines()
        why = words[-1].removeprefix("ERROR: ")[:120] if words else ""
        raise RuntimeError(f"no installation with Python {sys.version_info[0]}.{sys.version_info[1]}: {why}")
    (place / "complete").touch()
    return python
