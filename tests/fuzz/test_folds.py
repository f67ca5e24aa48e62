"""Folds take any events in any order: nothing raises, and nothing depends on how the events came."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel import folds
from agent_kernel.events import KNOWN_EVENTS, Delta, Event, UnknownEvent, parse_event
from agent_kernel.history import History
from agent_kernel.trace import Trace
from agent_kernel.transcript import to_html, to_markdown, to_notebook
from tests.fuzz.depth import examples

IDS = st.sampled_from(["a", "b", "a/1", ""])
TEXT = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", "\x1b[2J", "```\n", "](javascript:1)"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
BLOCKS = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT)
    | st.builds(lambda kind, rest: {"type": kind, "x": rest}, st.sampled_from(["image", "new_kind"]), JSON),
    max_size=3,
)
WORDS = {"status": "reason", "reason": "complete"}


def value(name: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Something that the field allows; ids come from few, so that events meet."""
    if name in ("id", "call_id"):
        return IDS
    if name == "content":
        return BLOCKS
    if name in ("block", "args"):
        return st.none() if name == "block" else st.dictionaries(TEXT, JSON, max_size=2)
    if name == "reason":
        return st.sampled_from(["thinking", "executing", "budget", "complete", "approval", "compacting", ""])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(value("", one) for one in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "array":
        return st.just([])
    return {
        "integer": st.integers(0, 9), "number": st.floats(0, 9), "boolean": st.booleans(), "null": st.none(),
    }.get(str(kind), TEXT)  # fmt: skip


def of(kind: type[Event]) -> st.SearchStrategy[Event]:
    known = kind.model_json_schema()["properties"]
    own = {
        name: schema
        for name, schema in known.items()
        if name not in ("type", "run_id", "seq", "version", "outputs", "items")
    }
    fields = st.fixed_dictionaries({name: value(name, schema) for name, schema in own.items()})
    if "items" in known:
        item = st.fixed_dictionaries({"text": TEXT, "status": st.sampled_from(["pending", "completed"])})
        fields = st.builds(lambda rest, items: {**rest, "items": items}, fields, st.lists(item, max_size=2))
    return fields.map(
        lambda found: kind.model_validate(
            {key: word for key, word in found.items() if word is not None or key != "content"}
        )
    )


STORED = [kind for kind in KNOWN_EVENTS if kind is not Delta]
EVENTS = st.lists(
    st.one_of(
        *map(of, STORED),
        st.builds(lambda text: UnknownEvent.model_validate({"type": "later", "text": text}), TEXT),
    ),
    max_size=25,
).map(lambda events: [event.numbered("r", seq) for seq, event in enumerate(events, 1)])


@given(EVENTS)
@examples(60)
def test_any_events_fold(events: list[Event]) -> None:
    folds.summary(events)
    state = folds.RunState(events)
    piecewise = folds.RunState(events[: len(events) // 2])
    for event in events[len(events) // 2 :]:
        piecewise.add(event)
    assert {**vars(state), "status": state.status.status} == {
        **vars(piecewise),
        "status": piecewise.status.status,
    }
    assert [span.row() for span in Trace(events).spans] == [span.row() for span in whole(events).spans]
    assert all(span.end >= span.start for span in Trace(events).spans if span.end)


def whole(events: list[Event]) -> Trace:
    trace = Trace()
    for event in events:
        trace.add(event)
    return trace


def as_stored(events: list[Event]) -> list[Event]:
    """Without what the log refuses: a second event of a call, and a start or a result of none."""
    seen: set[tuple[str, str]] = set()
    kept: list[Event] = []
    for event in events:
        key = (event.type, getattr(event, "id", ""))
        if event.type in ("tool_call", "tool_start", "tool_result"):
            if key in seen or (event.type != "tool_call" and ("tool_call", key[1]) not in seen):
                continue
            seen.add(key)
        kept.append(event)
    return [event.model_copy(update={"seq": seq}) for seq, event in enumerate(kept, 1)]


@given(EVENTS)
@examples(40)
def test_any_history_is_one_the_messages_api_takes(events: list[Event]) -> None:
    messages = History().messages(as_stored(events))
    assert all(before["role"] != after["role"] for before, after in pairwise(messages))
    asked: set[str] = set()
    for message in messages:
        blocks = message["content"] if isinstance(message["content"], list) else []
        results = [block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"]
        assert set(results) == asked, "each call is answered in the very next message"
        assert len(results) == len(asked)
        asked = {block["id"] for block in blocks if block.get("type") == "tool_use"}


@given(EVENTS)
@examples(25)
def test_any_events_have_a_transcript_without_markup_of_theirs(events: list[Event]) -> None:
    html = to_html(events).lower()
    assert "<script" not in html and "javascript:1)" not in html.replace("](javascript:1)", "")
    to_markdown(events)
    json.dumps(to_notebook(events))


@pytest.mark.parametrize("kind", KNOWN_EVENTS)
def test_events_survive_their_own_json(kind: type[Event]) -> None:
    @given(of(kind))
    @examples(8)
    def survives(event: Event) -> None:
        assert parse_event(json.loads(event.model_dump_json())) == event

    survives()
