"""The folds, on the recorded runs that the TypeScript fold is tested with too."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_kernel import folds
from agent_kernel.events import KNOWN_EVENTS, Event, Json, UnknownEvent, event_schema, parse_event
from tests.data.record import HERE, RUNS


def recorded(name: str) -> list[Event]:
    return [parse_event(json.loads(line)) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]


def expected(path: Path) -> object:
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_run_gives_its_summary(name: str) -> None:
    assert folds.summary(recorded(name)) == expected(HERE / f"{name}.summary.json")


@pytest.mark.parametrize("name", RUNS)
def test_the_recordings_are_what_their_makers_make(name: str) -> None:
    assert recorded(name) == RUNS[name]()


def test_the_answer_is_what_was_said_after_the_last_call() -> None:
    assert folds.answer(recorded("analysis")).startswith("**3 rows.**")


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    assert folds.cost(recorded("cancelled")) is None
    assert folds.cost(recorded("analysis")) == 0.0028


def test_calls_without_a_result_are_open() -> None:
    assert [call.id for call in folds.RunState(recorded("cancelled")).open_calls] == ["b"]


def test_a_pause_by_a_bound_settles_and_one_by_a_person_does_not() -> None:
    paused = recorded("changes")[-1]
    assert folds.settles(paused)
    assert not folds.settles(paused.model_copy(update={"reason": "paused"}))


def test_events_of_another_version_are_kept() -> None:
    event = parse_event({"type": "status", "version": 2, "mood": "good", "seq": 3, "run_id": "r"})
    assert isinstance(event, UnknownEvent)
    assert event.model_dump()["mood"] == "good"
    with pytest.raises(ValueError, match="status"):
        parse_event({"type": "status", "version": 1, "status": "nonsense"})


def test_a_long_log_takes_much_less_memory_than_its_models_would() -> None:
    lines = [event.model_dump() for event in recorded("analysis")] * 20

    def taken(read: Callable[[Json], Event]) -> int:
        tracemalloc.start()
        try:
            kept = [read(line) for line in lines]
            return tracemalloc.get_traced_memory()[0] // len(kept)
        finally:
            tracemalloc.stop()

    plain = {event.model_fields["type"].default: event.model_validate for event in KNOWN_EVENTS}
    assert taken(parse_event) < 0.8 * taken(lambda line: plain[line["type"]](line))


def test_the_schema_holds_every_event() -> None:
    assert {"Status", "ToolCall", "Delta", "Undo"} <= set(event_schema()["$defs"])
