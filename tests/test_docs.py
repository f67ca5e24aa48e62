"""The documents tell the truth: what exists is documented, and what is documented exists."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from click.testing import CliRunner

from agent_kernel.cli import main
from agent_kernel.settings import Settings

ROOT = Path(__file__).parent.parent


def rows(text: str) -> dict[str, str]:
    """The first two columns of the settings table."""
    found = re.findall(r"^\| `(\w+)` \|(.*?)\|", text, re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in found}


def test_every_setting_is_documented_with_its_default() -> None:
    documented = rows((ROOT / "docs/settings.md").read_text())
    defaults = {f.name: f.default for f in fields(Settings) if f.name != "sources"}
    shown = {
        name: "" if default in ("", ()) else f"{default:g}" if isinstance(default, float)
        else str(default).lower() if isinstance(default, bool) else str(default)
        for name, default in defaults.items()
    }  # fmt: skip
    assert documented == shown


def test_every_route_and_setting_of_the_server_is_documented() -> None:
    from jupyter_ext.extension import AgentKernelExtension
    from jupyter_ext.routes import ROUTES

    text = (ROOT / "docs/server.md").read_text()
    for route in ROUTES:
        last = route.path.rpartition("/")[2]
        assert f"{route.path}" in text or f"…/{last}" in text, route.path
    own = AgentKernelExtension.class_own_traits(config=True)
    defaults = {name: str(trait.default_value) for name, trait in own.items()}
    assert rows(text) == defaults


def test_commands_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in re.findall(r"^agent-kernel ([a-z]+(?: (?:list|show|export))?)", readme, re.MULTILINE):
        done = CliRunner().invoke(main, [*command.split(), "--help"])
        assert done.exit_code == 0, f"agent-kernel {command}: {done.output}"


def test_targets_of_the_readme_and_of_ci_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for place in ("README.md", ".ci/run", "CONTRIBUTING.md"):
        for target in re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / place).read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{place} says make {target}"


def test_links_of_the_documents_lead_somewhere() -> None:
    for place in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#:]+)\)", place.read_text()):
            assert (place.parent / link).exists(), f"{place.name} links to {link}"
