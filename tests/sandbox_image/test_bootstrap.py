"""`sandbox-image/bootstrap.sh` prepares a workspace, once or twice or after an interruption."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BOOTSTRAP = Path(__file__).parents[2] / "sandbox-image" / "bootstrap.sh"
FOLDERS = {"data", "results", "temp", "notebooks", "skill-scripts"}


def bootstrap(workspace: Path) -> None:
    scripts = workspace.parent / "scripts"
    scripts.mkdir(exist_ok=True)
    (scripts / "hello.py").write_text("print('hello')\n")
    environment = {**os.environ, "HOME": str(workspace.parent), "SKILL_SCRIPTS": str(scripts)}
    subprocess.run(["bash", BOOTSTRAP, str(workspace)], check=True, env=environment, capture_output=True)


def test_it_makes_the_folders_the_readme_and_the_scripts(tmp_path: Path) -> None:
    workspace = tmp_path / "work space"
    bootstrap(workspace)
    assert {path.name for path in workspace.iterdir() if path.is_dir()} == FOLDERS
    assert (workspace / "README.md").read_text().startswith("# Workspace")
    assert (workspace / "skill-scripts" / "hello.py").is_file()


def test_twice_is_as_good_as_once_and_keeps_what_people_changed(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    bootstrap(workspace)
    (workspace / "README.md").write_text("mine")
    (workspace / "skill-scripts" / "hello.py").write_text("changed")
    bootstrap(workspace)
    assert (workspace / "README.md").read_text() == "mine"
    assert (workspace / "skill-scripts" / "hello.py").read_text() == "changed"
    assert (tmp_path / ".agent-kernel-profile").read_text().count("export PATH") == 1


def test_an_interrupted_run_is_finished_by_the_next(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    (workspace / "data").mkdir(parents=True)
    (workspace / "README.md.part").write_text("half")
    bootstrap(workspace)
    assert (workspace / "README.md").read_text().startswith("# Workspace")
    assert not (workspace / "README.md.part").exists()
