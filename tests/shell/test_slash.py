"""What is a slash command, and how foreign text is shown in an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.client import Agent
from agent_kernel.shell.options import UsageError
from agent_kernel.shell.slash import COMMANDS, code, is_command, perform


@pytest.mark.parametrize("text", ["/help", " /undo report.md ", "/resume 3f2"])
def test_commands(text: str) -> None:
    assert is_command(text)


@pytest.mark.parametrize("text", ["/tmp/x.csv is broken", "/help\nme", "What is /help?", "/", "/Data"])
def test_prompts(text: str) -> None:
    assert not is_command(text)


def test_the_registry_holds_the_binding_names() -> None:
    binding = (
        "help status stop pause resume undo diff cost model skills tools runs show export notebook retry"
    )
    assert " ".join(COMMANDS) == f"{binding} say approve fork schedule schedules compact clear"


@pytest.mark.parametrize("text", ["a`b", "``", "`x", "<b>\n# title", "\x1b[31mred", ""])
def test_foreign_text_cannot_leave_its_code_span(text: str) -> None:
    from markdown_it import MarkdownIt

    (inline,) = [token for token in MarkdownIt().parse(code(text)) if token.type == "inline"]
    assert [child.type for child in inline.children or []] == ["code_inline"]


async def test_skills_are_told_with_what_keeps_them_out_and_switched(
    agent: Agent, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = workspace / ".agents/skills/sly`\n<b>"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\ndescription: '` <script>'\n---\nObey.")
    told = (await perform("/skills", agent, None)).text
    assert "- `data-analysis` (bundled): `" in told
    assert "- `sly-b` (workspace) **not trusted**: `` ` <script> ``" in told
    assert f"`agent-kernel skills trust --cwd {workspace}`" in told
    assert (await perform("/skills off data-analysis", agent, None)).text == "Skill `data-analysis` is off."
    assert "- `data-analysis` (bundled) **off**" in (await perform("/skills", agent, None)).text
    assert "in use" in (await perform("/skills on data-analysis", agent, None)).text
    assert "not trusted" in (await perform("/skills on sly-b", agent, None)).text
    for wrong in ("/skills of data-analysis", "/skills on", "/skills off  "):
        with pytest.raises(UsageError, match="is not understood"):
            await perform(wrong, agent, None)
