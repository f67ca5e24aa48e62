"""Completions in agent cells."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

import agent_kernel
from agent_kernel.shell.complete import completions


def words(cell: str, folder: Path | None = None) -> list[str] | None:
    found = completions(cell, cell.rsplit("\n", 1)[-1], folder)
    return found[1] if found else None


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%agent --perm", ["--permission"]),
        ("%agent --permission a", ["ask", "accept-edits"]),
        ("%agent --model d", ["demo"]),
        ("%agent --model claude-s", ["claude-sonnet-5-5", "claude-sonnet-5"]),
        ("%agent /sta", ["/status"]),
        ("%agent --new /un", ["/undo"]),
        ("run = %agent --bu", ["--budget"]),
        ("%%agent --sandbox=l", ["local"]),
        ("%agent plain words", None),
        ("%%agent\n/sta", None),
        ("x = --perm", None),
        ("@da", None),
    ],
)
def test_options_values_and_commands(cell: str, expected: list[str] | None) -> None:
    assert words(cell) == expected


def test_files_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sales.csv").touch()
    (tmp_path / ".hidden").touch()
    assert words("%%agent\nProfile @", tmp_path) == ["data/"]
    assert words("%agent Profile @data/s", tmp_path) == ["data/sales.csv"]
    assert words("%agent @../", tmp_path) == []


def test_ipython_offers_them() -> None:
    ip = InteractiveShell.instance()
    try:
        agent_kernel.load_ipython_extension(ip)
        agent_kernel.load_ipython_extension(ip)
        text, found = ip.complete("--perm", "%agent --perm", len("%agent --perm"))
        assert (text, found) == ("--perm", ["--permission"])
        agent_kernel.unload_ipython_extension(ip)
        assert "agent" not in ip.magics_manager.magics["line"]
    finally:
        InteractiveShell.clear_instance()
