"""The model's history is a fold of the log that only ever appends."""

from __future__ import annotations

import itertools

from agent_kernel.events import (
    Compaction,
    Context,
    Event,
    Json,
    Message,
    Status,
    Thought,
    ToolCall,
    ToolResult,
)
from agent_kernel.history import INTERRUPTED, SUMMARY_PREFACE, messages

THINKING = Status(status="running", reason="thinking")


def log(*events: Event, run_id: str = "r1") -> list[Event]:
    return [event.numbered(run_id, seq) for seq, event in enumerate(events, 1)]


def user(text: str) -> Message:
    return Message(role="user", text=text)


def said(text: str) -> Message:
    return Message(role="assistant", text=text)


def call(call_id: str = "c1") -> ToolCall:
    return ToolCall(id=call_id, tool="bash", args={"command": "ls"})


def result(call_id: str = "c1", text: str = "a.csv") -> ToolResult:
    return ToolResult(id=call_id, content=[{"type": "text", "text": text}])


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def tool_use(call_id: str = "c1") -> Json:
    return {"type": "tool_use", "id": call_id, "name": "bash", "input": {"command": "ls"}}


def tool_result(call_id: str = "c1", value: str = "a.csv", **rest: bool) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": [text(value)], **rest}


def test_a_prompt_is_one_user_message() -> None:
    assert messages(log(user("hi"))) == [{"role": "user", "content": [text("hi")]}]


def test_thought_text_and_call_of_a_turn_are_one_assistant_message() -> None:
    events = log(user("hi"), THINKING, Thought(text="hm", signature="s"), said("I look"), call(), result())
    assert messages(events) == [
        {"role": "user", "content": [text("hi")]},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, text("I look"), tool_use()],
        },
        {"role": "user", "content": [tool_result()]},
    ]


def test_a_block_the_log_kept_whole_comes_back_whole() -> None:
    block = {"type": "text", "text": "see", "citations": [{"cited_text": "x"}]}
    events = log(user("hi"), THINKING, Message(role="assistant", text="see", content=[block]))
    assert messages(events)[1]["content"] == [block]


def test_what_is_said_while_the_model_answers_comes_after_its_answer() -> None:
    events = log(user("hi"), THINKING, user("and quickly"), call(), result(), THINKING, said("done"))
    assert messages(events) == [
        {"role": "user", "content": [text("hi")]},
        {"role": "assistant", "content": [tool_use()]},
        {"role": "user", "content": [tool_result(), text("and quickly")]},
        {"role": "assistant", "content": [text("done")]},
    ]


def test_results_stand_before_texts_whatever_came_first() -> None:
    events = log(user("hi"), THINKING, call("a"), call("b"), result("a"), user("hey"), result("b"), THINKING)
    assert messages(events)[2]["content"] == [tool_result("a"), tool_result("b"), text("hey")]


def test_a_call_without_a_result_is_answered_as_interrupted() -> None:
    events = log(user("hi"), THINKING, call()) + log(user("again"), run_id="r2")
    assert messages(events)[2]["content"] == [tool_result(value=INTERRUPTED, is_error=True), text("again")]


def test_two_results_of_one_call_count_once() -> None:
    events = log(user("hi"), THINKING, call(), result(), result(text="again"))
    assert messages(events)[2]["content"] == [tool_result()]


def test_empty_texts_are_left_out() -> None:
    events = log(user("hi"), THINKING, said("  "), call(), result())
    assert messages(events)[1]["content"] == [tool_use()]


def test_every_prefix_of_the_log_gives_a_prefix_of_the_history() -> None:
    events = log(
        user("hi"), THINKING, Thought(text="hm", signature="s"), call("a"), result("a"), THINKING,
        user("quick"), said("partly"), call("b"), result("b"), THINKING, said("done"),
    )  # fmt: skip
    turns = [index for index, event in enumerate(events) if event.type == "status"]
    requests = [messages(events[: index + 1]) for index in turns]
    for earlier, later in itertools.pairwise(requests):
        assert later[: len(earlier)] == earlier


def test_a_compaction_replaces_what_was_before_it() -> None:
    before = log(user("long ago"), THINKING, said("yes"))
    cut = Compaction(up_to_run="r1", up_to=3, summary="They said yes.").numbered("r1", 4)
    events = [*before, cut, *log(user("now"), THINKING, said("ok"), run_id="r2")]
    assert messages(events) == [
        {"role": "user", "content": [text(SUMMARY_PREFACE + "They said yes."), text("now")]},
        {"role": "assistant", "content": [text("ok")]},
    ]


def test_thinking_of_another_model_is_left_out() -> None:
    context = Context(model="a", system="s", tools="t", max_tokens=1)
    events = log(
        context, user("hi"), THINKING, Thought(text="hm", signature="s"), said("yes"),
        context.model_copy(update={"model": "b"}), user("more"), THINKING,
    )  # fmt: skip
    assert messages(events)[1] == {"role": "assistant", "content": [text("yes")]}
