"""Credentials never reach an event."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from agent_kernel.events import Delta, Message, ToolCall
from agent_kernel.runs.redact import MASK, Redactor

SECRET = 'sk-"very/secret+value'


@pytest.fixture
def redact() -> Redactor:
    return Redactor([SECRET, "short"])


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET.replace('"', '\\"'),
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode()).decode(),
        base64.b64encode(b"ab" + SECRET.encode() + b"tail").decode(),
    ],
)
def test_a_secret_is_masked_in_every_usual_form(redact: Redactor, form: str) -> None:
    event = redact("r", Message(role="assistant", text=f"it is {form}!"))
    assert isinstance(event, Message)
    assert MASK in event.text
    assert "very" not in event.text
    assert base64.b64encode(SECRET.encode()).decode()[4:-4] not in event.text


def test_a_secret_is_masked_wherever_it_stands(redact: Redactor) -> None:
    event = redact("r", ToolCall(id="c", tool="bash", args={"deep": [{SECRET: SECRET}]}))
    assert "very" not in event.model_dump_json()


def test_an_event_without_a_secret_is_the_same_object(redact: Redactor) -> None:
    event = Message(role="assistant", text="short and harmless")
    assert redact("r", event) is event


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_secret_cut_into_deltas_never_shows(redact: Redactor, size: int) -> None:
    text = f"before {SECRET} after, and more"
    shown = ""
    for start in range(0, len(text), size):
        delta = redact("r", Delta(kind="text", id="0", text=text[start : start + size], turn=1))
        assert isinstance(delta, Delta)
        shown += delta.text
    assert "very" not in shown
    assert shown.startswith(f"before {MASK} after")


def test_lone_surrogates_are_replaced(redact: Redactor) -> None:
    event = redact("r", Message(role="assistant", text="a\ud800b"))
    assert event.model_dump()["text"] == "a?b"
