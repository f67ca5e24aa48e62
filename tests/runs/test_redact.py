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


def test_what_is_known_already_costs_nothing(redact: Redactor) -> None:
    """Each request of a kernel says again what is secret."""
    forms = redact._forms
    redact.keep([SECRET])
    redact.keep_only("kernels", [])
    assert redact._forms is forms
    redact.keep(["a-new-secret"])
    assert redact._forms is not forms


def test_secrets_of_a_group_give_way_to_others_and_all_else_stays_secret() -> None:
    redact = Redactor(["always-secret"])
    redact.keep_only("kernels", ["always-secret", "first-token", "second-token"])
    redact.keep_only("others", ["third-token"])
    redact.keep_only("kernels", ["second-token"])
    shown = redact("r", Message(role="assistant", text="always-secret first-token second-token third-token"))
    assert isinstance(shown, Message)
    assert shown.text == f"{MASK} first-token {MASK} {MASK}"


def test_text_that_waited_for_the_rest_of_a_secret_is_shown_when_that_is_none_any_more() -> None:
    redact = Redactor([])
    redact.keep_only("kernels", ["first-token"])
    shown = [redact("r", Delta(kind="text", id="0", text="the first", turn=1))]
    redact.keep_only("kernels", [])
    shown.append(redact("r", Delta(kind="text", id="0", text=" one", turn=1)))
    assert "".join(delta.text for delta in shown if isinstance(delta, Delta)) == "the first one"
