"""The skills of the package keep to the format, strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.client import Agent
from agent_kernel.events import ToolResult
from agent_kernel.skills import examine, read_skill
from agent_kernel.skills.contents import contents
from agent_kernel.skills.library import bundled_folder
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse

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


async def test_their_scripts_run_where_the_agent_runs_them(
    agent: Agent, api: ScriptedMessages, workspace: Path, home: Path
) -> None:
    rows = "".join(f"2025-01-{1 + n % 28:02},{'ab'[n % 2]},{n % 2 * 5 + n / 50}\n" for n in range(60))
    (workspace / "t.csv").write_text(f"day,group,value\n{rows}")
    (workspace / "story.py").write_text("# %% [markdown]\n# # Six\n# %%\nprint(2 * 3)\n")
    commands = {
        "data-analysis": "python scripts/report.py /workspace/t.csv --out /workspace/report.md",
        "machine-learning": "python scripts/baseline.py /workspace/t.csv --target group --drop day",
        "notebook-authoring": "python scripts/assemble.py /workspace/story.py --out /workspace/s.ipynb"
        " && python scripts/check_notebook.py /workspace/s.ipynb --run --write",
        "dashboards": "(python scripts/dashboard.py /workspace/t.csv --port 8050 & echo $! > /tmp/p)"
        " && for n in $(seq 100); do curl -sf 127.0.0.1:8050/data.json && break; sleep 0.2; done; kill $(cat /tmp/p)",
        "web-scraping": "(cd /workspace && python -m http.server 8051 2>/dev/null & echo $! > /tmp/p) && sleep 0.5"
        " && for n in $(seq 100); do curl -sf 127.0.0.1:8051/ >/tmp/x && break; sleep 0.2; done"
        " && python scripts/fetch.py http://127.0.0.1:8051/ --out /tmp/pages; kill $(cat /tmp/p)",
    }
    api.add(
        *([ToolUse("skill", {"name": name}), ToolUse("bash", {"command": f"cd /session/skills/{name} && {command}"})]
          for name, command in commands.items()),
        [Text("Done.")],
    )  # fmt: skip
    run = await agent.run("Try them all")
    results = [event for event in run.events if isinstance(event, ToolResult)]
    told = ["".join(block["text"] for block in result.content) for result in results]
    assert [result.is_error for result in results] == [False] * 10, told
    report, baseline, notebook, dashboard, page = told[1::2]
    assert "/workspace/report-1.png" in report
    assert '"best"' in baseline
    assert '"ran": true, "problems": []' in notebook
    assert '"title": "t"' in dashboard
    assert '"status": 200' in page
    assert {file.path for file in run.files} >= {"report.md", "s.ipynb"}
