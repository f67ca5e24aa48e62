"""What is a slash command, and how foreign text is shown in an answer."""

from __future__ import annotations

import pytest

from agent_kernel.shell.slash import COMMANDS, code, is_command


@pytest.mark.parametrize("text", ["/help", " /undo report.md ", "/resume 3f2"])
def test_commands(text: str) -> None:
    assert is_command(text)


@pytest.mark.parametrize("text", ["/tmp/x.csv is broken", "/help\nme", "What is /help?", "/", "/Data"])
def test_prompts(text: str) -> None:
    assert not is_command(text)


def test_the_registry_holds_the_binding_names() -> None:
    binding = "help status stop pause resume undo diff cost model skills tools runs show export retry"
    assert " ".join(COMMANDS) == f"{binding} say approve fork schedule schedules"


@pytest.mark.parametrize("text", ["a`b", "``", "`x", "<b>\n# title", "\x1b[31mred", ""])
def test_foreign_text_cannot_leave_its_code_span(text: str) -> None:
    from markdown_it import MarkdownIt

    (inline,) = [token for token in MarkdownIt().parse(code(text)) if token.type == "inline"]
    assert [child.type for child in inline.children or []] == ["code_inline"]
