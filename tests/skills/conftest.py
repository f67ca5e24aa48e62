"""A home and a workspace of their own, and skills written into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def write(home: Path, workspace: Path) -> Write:
    """`write("name", …)` makes a skill of the person's; `at` is another folder of skills, `files` more files."""

    def make(
        name: str,
        description: str = "Does what the test needs, when the test says so.",
        *,
        body: str = "Do it.",
        at: Path | None = None,
        files: dict[str, str] | None = None,
        **fields: str,
    ) -> Path:
        folder = (at or home / ".agents/skills") / name
        head = {"name": name, "description": description, **fields}
        lines = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in head.items())
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text(f"---\n{lines}---\n\n{body}\n")
        for path, text in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    return make
