"""Spans of runs, on the recorded runs that the TypeScript fold is tested with too."""

from __future__ import annotations

import json

import pytest

from agent_kernel.trace import Trace
from tests.data.record import HERE, RUNS


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_run_gives_its_spans(name: str) -> None:
    rows = [span.row() for span in Trace(RUNS[name]()).spans]
    assert rows == json.loads((HERE / f"{name}.trace.json").read_text())


@pytest.mark.parametrize("name", RUNS)
def test_each_span_is_told_once_when_it_ends(name: str) -> None:
    trace = Trace()
    ended = [span for event in RUNS[name]() for span in trace.add(event)]
    assert len(ended) == len({id(span) for span in ended})
    assert {id(span) for span in ended} == {id(span) for span in trace.spans if span.end}


def test_what_was_told_need_not_be_held() -> None:
    trace, told = Trace(), []
    for event in RUNS["resumed"]():
        told += trace.add(event)
        trace.forget()
        assert all(not span.end for span in trace.spans)
    whole = Trace(RUNS["resumed"]())
    assert sorted(str(span.row()) for span in told) == sorted(str(span.row()) for span in whole.spans)


def test_a_retried_request_a_denied_call_and_a_failed_turn_are_told_apart() -> None:
    spans = Trace(RUNS["resumed"]()).spans
    told = [(span.kind, span.state, span.reason, span.attempts) for span in spans]
    assert told == [
        ("run", "ok", "budget", 1),
        ("chat", "ok", "overloaded", 2),
        ("tool", "error", "", 1),
        ("tool", "ok", "", 1),
        ("approval", "ok", "deny", 1),
        ("compaction", "ok", "", 1),
        ("run", "error", "api_error", 1),
        ("chat", "error", "api_error", 1),
    ]
