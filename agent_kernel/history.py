"""The model's history: a fold of a session's events into Messages API messages.

The fold only ever appends to what an earlier fold of the same log gave (until a compaction), so prompt
caching hits and preserved thinking stays valid. A turn starts with `status` running/thinking; the
request of that turn holds exactly what was in the log before it. What a person says while the model is
already answering therefore comes after that answer.
"""

from __future__ import annotations

from collections.abc import Sequence

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

INTERRUPTED = (
    "Interrupted: the program stopped during this call. Its outcome is unknown; it was not run again."
)
SUMMARY_PREFACE = "The conversation so far was too long to keep. This is a summary of it:\n\n"


def messages(events: Sequence[Event]) -> list[Json]:
    """Messages API messages for all `events` of a session, oldest first."""
    return History().messages(events)


class History:
    """The fold kept from one request to the next: each needs only what came since the last."""

    def __init__(self) -> None:
        self._fold = _Fold()
        self._seen = 0

    def messages(self, events: Sequence[Event]) -> list[Json]:
        """Messages API messages for `events`: those given last time, and what has come since.

        Events that are not stored yet (without a `seq`) may stand at the end.
        """
        stored = len(events)
        while stored and not events[stored - 1].seq:
            stored -= 1
        if any(isinstance(event, Compaction) for event in events[self._seen : stored]):
            self._fold = _Fold()
            kept = _after_compaction(events[:stored], self._fold)
        else:
            kept = events[self._seen : stored]
        for event in kept:
            self._fold.add(event)
        self._seen = stored
        fold = self._fold.copy()
        for event in events[stored:]:
            fold.add(event)
        fold.flush()
        return fold.messages


def thought_block(event: Thought) -> Json:
    """The provider's thinking block as it came."""
    if event.block is not None:
        return event.block
    block: Json = {"type": "thinking", "thinking": event.text}
    if event.signature is not None:
        block["signature"] = event.signature
    return block


def _after_compaction(events: Sequence[Event], fold: _Fold) -> Sequence[Event]:
    found = next((e for e in reversed(events) if isinstance(e, Compaction)), None)
    if found is None:
        return events
    if found.summary:  # else the person wanted nothing of it kept
        fold.texts.append({"type": "text", "text": SUMMARY_PREFACE + found.summary})
    for index, event in enumerate(events):
        if event.run_id == found.up_to_run and event.seq == found.up_to:
            return events[index + 1 :]
    return events


class _Fold:
    """Messages so far, and the user content waiting for the next request."""

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self.results: list[Json] = []
        self.texts: list[Json] = []
        self.unanswered: dict[str, None] = {}
        self.model = ""

    def copy(self) -> _Fold:
        """One that can grow without this one growing."""
        twin = _Fold()
        twin.messages = self.messages[:-1]
        twin.messages += [{**last, "content": [*last["content"]]} for last in self.messages[-1:]]
        twin.results, twin.texts = [*self.results], [*self.texts]
        twin.unanswered, twin.model = {**self.unanswered}, self.model
        return twin

    def add(self, event: Event) -> None:
        match event:
            case Status(status="running", reason="thinking"):
                self.flush()
            case Message(role="user"):
                self.texts += event.content or _text(event.text)
            case ToolResult():
                self._answer(event)
            case Message():
                self._assistant(event.content or _text(event.text))
            case Thought():
                self._assistant([thought_block(event)])
            case ToolCall():
                self.unanswered[event.id] = None
                self._assistant([event.block or _tool_use(event)])
            case Context():
                self._model_changed(event.model)
            case _:
                pass

    def flush(self) -> None:
        """Everything that waits becomes (part of) one user message: results first, as the API wants."""
        for call_id in self.unanswered:
            self.results.append(_result(call_id, [{"type": "text", "text": INTERRUPTED}], is_error=True))
        self.unanswered.clear()
        content = self.results + self.texts
        self.results, self.texts = [], []
        if not content:
            return
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages[-1]["content"] += content
        else:
            self.messages.append({"role": "user", "content": content})

    def _assistant(self, blocks: list[Json]) -> None:
        if not blocks:
            return
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": []})
        self.messages[-1]["content"] += blocks

    def _answer(self, event: ToolResult) -> None:
        if event.id in self.unanswered:
            del self.unanswered[event.id]
            self.results.append(_result(event.id, event.content, is_error=event.is_error))

    def _model_changed(self, model: str) -> None:
        """Thinking is signed for the model that thought it: another one must not be sent it."""
        if self.model and model != self.model:
            for message in self.messages:
                if message["role"] == "assistant":
                    kept = [b for b in message["content"] if "thinking" not in b["type"]]
                    message["content"] = kept or _text("(thinking)")
        self.model = model


def _text(text: str) -> list[Json]:
    """The API refuses empty text blocks."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _tool_use(event: ToolCall) -> Json:
    return {"type": "tool_use", "id": event.id, "name": event.tool, "input": event.args}


def _result(call_id: str, content: list[Json], *, is_error: bool) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    if is_error:
        block["is_error"] = True
    return block
