"""The protocol between the live view's page and the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import SettingsError
from agent_kernel.events import Message
from agent_kernel.shell.widget import MOST_BYTES, asked, split, view_class


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "approve", "id": "a", "decision": "allow"},
        {"kind": "control", "action": "cancel"},
        {"kind": "message", "text": "use blue"},
        {"kind": "undo", "call_id": None, "path": "a.txt"},
        {"kind": "undo"},
    ],
)
def test_messages_of_the_protocol_are_understood(content: Any) -> None:
    assert asked(content) is not None


@pytest.mark.parametrize(
    "content",
    [
        None, [], "approve", {}, {"kind": "delete"}, {"kind": ["approve"]},
        {"kind": "approve", "id": 1, "decision": "allow"},
        {"kind": "approve", "id": "a", "decision": "always"},
        {"kind": "control", "action": "close"}, {"kind": "message", "text": "  "}, {"kind": "message"},
        {"kind": "undo", "call_id": 7}, {"kind": "undo", "path": ["a"]},
    ],
)  # fmt: skip
def test_everything_else_is_ignored(content: Any) -> None:
    assert asked(content) is None


def test_large_batches_are_split_in_order() -> None:
    events = [Message(role="assistant", text="x" * 100_000).numbered("r", seq) for seq in range(1, 21)]
    huge = Message(role="assistant", text="y" * 2 * MOST_BYTES).numbered("r", 21)
    parts = split([*events, huge])
    assert [event["seq"] for part in parts for event in part] == list(range(1, 22))
    assert all(sum(len(event["text"]) for event in part) < MOST_BYTES for part in parts[:-1])
    assert len(parts[-1]) == 1


def test_a_missing_script_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cell.js is missing. .*make build.* AGENT_KERNEL_VIEW=text"):
        view_class(tmp_path)
