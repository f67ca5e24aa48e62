"""Packages of the npm registry that tests look at; where npm cannot fetch one, the test is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def node() -> str:
    """The program `node`, the one that came with Python before the system's."""
    found = shutil.which("node", path=str(BIN)) or shutil.which("node")
    if found is None:
        pytest.skip("there is no Node here")
    return found


def fetched(package: str, version: str, kept: str) -> Path:
    """The package's folder, below `kept` in the person's cache: it is fetched once. None of its scripts is run."""
    npm = shutil.which("npm", path=str(BIN)) or shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here")
    folder = Path.home() / ".cache" / "agent-kernel-tests" / f"{kept}-{version}"
    place = folder / "node_modules" / package
    if not (place / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        quietly = ["--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            [npm, "install", *quietly, "--prefix", str(folder), f"{package}@{version}"],
            capture_output=True, text=True, timeout=150,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"{package} cannot be fetched: {done.stderr[-200:]}")
    return place
