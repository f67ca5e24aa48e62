"""A public collection of real skills, in the dialects of eight programs: all load, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.skills import examine, read_skill
from agent_kernel.skills.install import install
from tests.npm import fetched

VERSION, DIALECTS, EACH = "3.0.2", 8, 17


@pytest.fixture(scope="module")
def collection() -> Path:
    return fetched("cc-sdd", VERSION, "skills") / "templates" / "agents"


def test_all_of_it_loads_and_every_problem_has_words(collection: Path) -> None:
    folders = [path.parent for path in sorted(collection.glob("*/skills/*/SKILL.md"))]
    assert len(folders) == DIALECTS * EACH
    said = {}
    for folder in folders:
        skill = read_skill(folder)
        assert (skill.name, bool(skill.description), bool(skill.body)) == (folder.name, True, True)
        problems = examine(skill)
        assert not [problem for problem in problems if problem.level == "error" or not problem.text]
        said[f"{folder.parents[1].name}/{folder.name}"] = [problem.text for problem in problems]
    assert said["claude-code-skills/kiro-debug"] == [
        "argument-hint is a field of other programs, not of the format",
        "allowed-tools names WebSearch, which is no tool here",
        "allowed-tools names WebFetch, which is no tool here",
    ]


def test_a_whole_dialect_is_installed_at_once(collection: Path, tmp_path: Path) -> None:
    installed = install(collection / "codex-skills" / "skills", tmp_path / "skills")
    assert len(installed) == EACH == len(list((tmp_path / "skills").iterdir()))
