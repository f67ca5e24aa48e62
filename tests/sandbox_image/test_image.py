"""The image: its scripts do what they say in a sandbox, its recipe is clean, and it becomes a snapshot at Daytona."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent_kernel.cli import main
from agent_kernel.sandbox import open_sandbox
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.image import recipe, self_contained
from agent_kernel.tools.images import media_type
from tests.sandbox.fake_daytona import KEY, FakeDaytona

IMAGE = Path(__file__).parents[2] / "sandbox-image"
SALES = "day,region,amount\n2026-01-01,north,10\n2026-01-02,north,\n2026-01-03,south,32.5\n2026-01-03,south,32.5\n"
PAGE = (
    "<title>Tides</title><nav>menu</nav><h1>High water</h1><p>See <a href='/more'>more</a>.</p><script>no()</script>"
    "<table><tr><th>port</th><th>m</th></tr><tr><td>Brest</td><td>6,1</td></tr></table>"
)


async def run(sandbox: Sandbox, line: str) -> str:
    done = await sandbox.exec(f"PATH=/workspace/skill-scripts:$PATH; {line}", timeout=120)
    assert done.exit_code == 0, done.stdout + done.stderr
    return done.stdout


async def test_bootstrap_and_the_scripts_work_in_a_sandbox(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / "image").mkdir()
    (workspace / "image" / "bootstrap.sh").write_bytes((IMAGE / "bootstrap.sh").read_bytes())
    (workspace / "image" / "skill-scripts").mkdir()
    for script in (IMAGE / "skill-scripts").glob("*.py"):
        target = workspace / "image" / "skill-scripts" / script.name
        target.write_bytes(script.read_bytes())
        target.chmod(0o755)
    async with await open_sandbox(workspace=workspace, data_dir=tmp_path / "data") as sandbox:
        for _ in range(2):
            await run(sandbox, "bash image/bootstrap.sh /workspace")
        await sandbox.write("data/sales.csv", SALES.encode())
        report = json.loads(await run(sandbox, "analyze_csv.py data/sales.csv --json"))
        assert (report["rows"], report["repeated rows"], report["rows of another length"]) == (4, 1, 0)
        kinds = {column["column"]: column for column in report["columns"]}
        assert [kinds[name]["kind"] for name in ("day", "region", "amount")] == ["date", "text", "number"]
        assert kinds["amount"]["missing"] == 1 and (kinds["amount"]["min"], kinds["amount"]["mean"]) == (
            10,
            25,
        )
        assert "| region | text | 0 | 2 | most often" in await run(sandbox, "analyze_csv.py data/sales.csv")
        missing = await sandbox.exec("python3 skill-scripts/analyze_csv.py nothing.csv")
        assert (
            missing.exit_code == 1
            and missing.stderr.startswith("analyze_csv: ")
            and "\n" not in missing.stderr.strip()
        )

        await run(
            sandbox, "make_chart.py data/sales.csv --x region --y amount --kind bar --sum --out results/c.png"
        )
        assert media_type((workspace / "results" / "c.png").read_bytes()) == "image/png"
        wrong = await sandbox.exec(
            "python3 skill-scripts/make_chart.py data/sales.csv --x nope --y amount --out c.png"
        )
        assert "there is no column nope; there are day, region, amount" in wrong.stderr

        await sandbox.write("site/index.html", PAGE.encode())
        await sandbox.write("site/robots.txt", b"User-agent: *\nDisallow: /private\n")
        await sandbox.exec("cd site && exec python3 -m http.server 8800 --bind 127.0.0.1", background=True)
        await sandbox.exec(
            "until (exec 3<>/dev/tcp/127.0.0.1/8800) 2>/dev/null; do sleep 0.05; done", timeout=60
        )
        text = await run(sandbox, "web_scraper.py http://127.0.0.1:8800/")
        assert (
            text.startswith("# Tides\n")
            and "# High water" in text
            and "menu" not in text
            and "no()" not in text
        )
        assert "http://127.0.0.1:8800/more,more" in await run(
            sandbox, "web_scraper.py http://127.0.0.1:8800/ --links"
        )
        assert 'Brest,"6,1"' in await run(sandbox, "web_scraper.py http://127.0.0.1:8800/ --tables")
        refused = await sandbox.exec("python3 skill-scripts/web_scraper.py http://127.0.0.1:8800/private")
        assert refused.exit_code == 1 and "robots.txt asks programs to stay away" in refused.stderr


def test_the_recipe_and_the_script_are_clean() -> None:
    tools = Path(sys.executable).parent
    commands: tuple[list[str | Path], ...] = (
        [tools / "shellcheck", "bootstrap.sh", "../tests/system.sh"],
        [tools / "hadolint", "--config", "hadolint.yaml", "Dockerfile"],
    )
    for command in commands:
        done = subprocess.run(command, cwd=IMAGE, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_recipe_carries_what_it_copies() -> None:
    text = self_contained(recipe())
    assert "COPY" not in text and text == self_contained(recipe())
    found: dict[str, bytes] = {}
    for packed, parent in re.findall(r"echo (\S+) \| base64 -d \| tar -xz -C (\S+)$", text, re.MULTILINE):
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed))) as archive:
            for member in archive.getmembers():
                if (file := archive.extractfile(member)) is not None:
                    found[f"{parent}/{member.name}"] = file.read()
    place = "/opt/agent-kernel"
    assert found[f"{place}/bootstrap.sh"] == (IMAGE / "bootstrap.sh").read_bytes()
    scripts = {f"{place}/skill-scripts/{path.name}" for path in (IMAGE / "skill-scripts").glob("*.py")}
    assert set(found) == {f"{place}/bootstrap.sh", f"{place}/requirements.txt", *scripts}


def test_it_becomes_a_snapshot_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeDaytona(tmp_path / "daytona") as service:
        monkeypatch.setenv("DAYTONA_API_KEY", KEY)
        monkeypatch.setenv("DAYTONA_API_URL", service.url)
        monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
        done = CliRunner().invoke(main, ["image", "register", "--name", "mine", "--memory", "8"])
        assert done.exit_code == 0, done.output
        assert "AGENT_KERNEL_DAYTONA_SNAPSHOT=mine" in done.output and "Step 1" in done.output
        (made,) = service.snapshots.values()
        assert made["buildInfo"]["dockerfileContent"] == self_contained(recipe())
        assert (made["name"], made["memory"]) == ("mine", 8)
        again = CliRunner().invoke(main, ["image", "register", "--name", "mine"])
        assert "There is a snapshot mine already" in again.output and len(service.snapshots) == 1
        bad = CliRunner().invoke(main, ["image", "register", "--name", "bad", "--image", "no-such:image"])
        assert bad.exit_code == 1 and "no-such:image cannot be pulled" in bad.output


def test_it_can_be_seen_and_says_what_building_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = CliRunner().invoke(main, ["image", "show"])
    assert shown.output == (IMAGE / "Dockerfile").read_text()
    monkeypatch.setenv("PATH", "/nonexistent")
    done = CliRunner().invoke(main, ["image", "build"])
    assert done.exit_code == 1 and "Neither docker nor podman is installed" in done.output
