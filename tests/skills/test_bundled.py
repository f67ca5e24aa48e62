"""The skills of the package keep to the format, strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.skills import examine, read_skill
from agent_kernel.skills.contents import contents
from agent_kernel.skills.library import bundled_folder

SKILLS = sorted(path for path in (Path(__file__).parents[2] / "skills").iterdir() if path.is_dir())
NAMES = ["dashboards", "data-analysis", "machine-learning", "notebook-authoring", "web-scraping"]


def test_they_are_those_that_are_documented() -> None:
    assert [path.name for path in SKILLS] == NAMES
    assert bundled_folder() == SKILLS[0].parent


@pytest.mark.parametrize("folder", SKILLS, ids=lambda path: path.name)
def test_strictly_nothing_is_wrong_with_it(folder: Path) -> None:
    skill = read_skill(folder, "bundled")
    assert [problem.text for problem in examine(skill)] == []
    assert skill.license == "BSD-3-Clause"
    assert "Use when" in skill.description
    body = skill.body()
    for file in contents(folder).files:
        if file.path.startswith("scripts/") and "python3" in file.place.read_text().partition("\n")[0]:
            assert file.path in body, f"SKILL.md does not say when to use {file.path}"
