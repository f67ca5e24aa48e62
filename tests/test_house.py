"""The house of CONTRIBUTING.md: imports run downward only, and importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "shell": 10, "cli": 10, "doctor": 10, "__main__": 10,
    "client": 9, "mcp_server": 9,
    "app": 8, "account": 8, "remote": 8, "fork": 8, "dispatch": 8, "asking": 8, "shorten": 8, "ahead": 8,
    "workspaces": 8, "undo": 8,
    "places": 7,
    "jobs": 6,
    "runner": 5, "executor": 5, "journal": 5,
    "loop": 4, "compaction": 4, "telemetry": 4,
    "tools": 3, "runs": 3, "model": 3, "transcript": 3, "testing": 3, "mcp": 3,
    "previews": 3, "files": 3,
    "events": 2, "folds": 2, "history": 2, "instructions": 2, "budget": 2, "sandbox": 2, "definitions": 2, "skills": 2,
    "answer": 2, "model_errors": 2, "foreign": 2, "mentions": 2, "choice": 2, "vault": 2,
    "trace": 2,
    "errors": 1, "usage": 1, "settings": 1, "_version": 1,
}  # fmt: skip
MODULES = sorted(path for path in (ROOT / "agent_kernel").rglob("*.py"))


def room(module: str) -> str:
    """`agent_kernel.runs.store` lives in `runs`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("agent_kernel"):
            names = (
                [node.module]
                if node.module != "agent_kernel"
                else [f"agent_kernel.{a.name}" for a in node.names]
            )
            found |= {room(name) for name in names}
        elif isinstance(node, ast.Import):
            found |= {room(a.name) for a in node.names if a.name.startswith("agent_kernel.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path: Path) -> None:
    own = path.relative_to(ROOT / "agent_kernel").parts[0].removesuffix(".py")
    if own == "__init__":
        return  # the front door: names of the upper floors, imported when they are asked for
    assert own in FLOORS, f"{own} has no floor; say in FLOORS and CONTRIBUTING.md where it lives"
    for other in imported_rooms(path) - {own, "__init__"}:
        below = FLOORS[other] < FLOORS[own] or (FLOORS[other] == FLOORS[own] and own != other)
        assert below, f"{own} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"


def test_rooms_of_one_floor_do_not_import_in_circles() -> None:
    edges: dict[str, set[str]] = {}
    for path in MODULES:
        own = path.relative_to(ROOT / "agent_kernel").parts[0].removesuffix(".py")
        if own != "__init__":
            edges.setdefault(own, set()).update(imported_rooms(path) - {own, "__init__"})
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " → ".join([*above, name])
        if name not in done:
            for other in sorted(edges.get(name, ())):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())


def test_each_vendor_lives_in_one_place() -> None:
    homes = {
        "anthropic": {"model.py"},
        "sqlalchemy": {"runs"},
        "alembic": {"runs"},
        "redis": {"runs"},
        "fsspec": {"runs"},
        "dbos": {"jobs"},
        "croniter": {"jobs"},
        "mcp": {"mcp", "mcp_server.py"},
        "mcp_types": {"mcp", "mcp_server.py"},
        "daytona": {"sandbox"},
        "pathspec": {"sandbox"},
        "opentelemetry": {"telemetry"},
        "sentry_sdk": {"telemetry"},
    }
    for path in MODULES:
        parts = path.relative_to(ROOT / "agent_kernel").parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                home = homes.get(name.split(".")[0])
                assert home is None or parts[0] in home, f"{'/'.join(parts)} imports {name}"


def test_the_server_loads_its_extension_without_what_only_runs_need() -> None:
    code = (
        "import sys, jupyter_server.serverapp\n"
        "import jupyter_ext.extension, jupyter_ext.routes\n"
        "heavy = {'anthropic', 'sqlalchemy', 'dbos', 'pydantic', 'agent_kernel.events', 'agent_kernel.app', 'mcp'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "the server starts slower for it"


def test_importing_the_package_is_light_and_silent() -> None:
    code = (
        "import sys, agent_kernel, agent_kernel.client\n"
        "heavy = {'anthropic', 'sqlalchemy', 'dbos', 'IPython', 'ipywidgets', 'daytona', 'pandas', 'matplotlib', "
        "'nbformat'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_modules_of_the_front_end_have_names_of_their_own() -> None:
    """`./settings` finds `Settings.tsx` before `settings.ts`: the bundler does not look at case, nor do some disks."""
    for source in (ROOT / "widgets" / "src", ROOT / "jupyter_ext" / "src"):
        names = [str(path.with_suffix("")).lower() for path in source.rglob("*.ts*")]
        assert sorted(names) == sorted(set(names))
