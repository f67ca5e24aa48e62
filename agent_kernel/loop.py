"""The agent loop: a turn is one answer of the model plus the results of its tool calls.

The loop reads and writes one run's journal; it knows nothing of stores, workers or notebooks. It ends
when a turn asks for no tool (and nobody has said anything meanwhile), or when a bound is reached.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from agent_kernel import folds
from agent_kernel.budget import WARN_AT, Budget, unknown_price, used_up, warning
from agent_kernel.compaction import compacted, needs_compaction
from agent_kernel.errors import ContextOverflow, ModelError
from agent_kernel.events import (
    LOOP,
    ContextUpdate,
    Delta,
    Error,
    Event,
    Json,
    Message,
    Status,
    Thought,
    ToolCall,
    ToolResult,
    ToolStart,
)
from agent_kernel.history import INTERRUPTED, History
from agent_kernel.model import Model, ModelReply, ModelRequest
from agent_kernel.usage import cost_usd

CUT_OFF = "Your answer reached the output limit and was cut off. Go on from there, in smaller steps."
MOST_CUT_OFFS = 3
LONGEST_DELAY = 30.0
Ending: TypeAlias = Literal["complete", "budget", "max_turns"]
Wanted: TypeAlias = Callable[[], Awaitable[bool]]


class Journal(Protocol):
    """One run's log as the loop sees it."""

    run_id: str
    events: list[Event]
    state: folds.RunState
    others: int

    async def append(self, *events: Event) -> None:
        """Store events; `events` then holds them, and whatever others appended before them."""
        ...

    def hold(self, *events: Event) -> None:
        """Store events together with the next append (a commit saved; they are shown at once after it)."""
        ...

    def publish(self, delta: Delta) -> None: ...

    async def checkpoint(self) -> None:
        """Take in what others appended; waits here while the run is paused."""
        ...

    def session_events(self) -> list[Event]:
        """The session's earlier runs and this one, what is held included, for the model's history."""
        ...


class Executor(Protocol):
    """Runs tool calls (see runner.py); the loop decides when."""

    def ready(self, call: ToolCall) -> bool:
        """True when the call may start at once: it only reads, and nobody needs to be asked."""
        ...

    def start_event(self, call: ToolCall) -> ToolStart: ...

    def elsewhere(self, call: ToolCall) -> bool:
        """True when another process executes the call and appends its start and its result."""
        ...

    async def execute(self, call: ToolCall, *, started: bool) -> list[Event]:
        """The events that end with the call's one result. Appends its own `tool_start` unless started."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What ends a run early. Zero means no bound."""

    max_turns: int = 100
    budget: Budget = field(default_factory=Budget)
    max_attempts: int = 6
    compact_at: float = 0.8


@dataclass(slots=True)
class Loop:
    journal: Journal
    model: Model
    executor: Executor
    system: str
    tools: list[Json]
    max_tokens: int
    bounds: Bounds
    first_turn: int = 0
    history: History = field(default_factory=History)

    async def run(self) -> Ending:
        """Turn after turn until the work is done or a bound is reached. Raises ModelError."""
        self.first_turn = self.turn
        await self.finish_open_calls()
        if self._answered():
            return "complete"
        while (ending := await self.bound_reached()) is None:
            reply = await self.think()
            if calls := self.calls_of(reply):
                await self.act(calls)
            elif not self.more_to_do(reply):
                return "complete"
        return ending

    def _answered(self) -> bool:
        """The last word was the model's: a program ended between the answer and the end of its run."""
        messages = self._request().messages
        return bool(messages) and messages[-1]["role"] == "assistant"

    # -- one turn -----------------------------------------------------------------------------------

    @property
    def turn(self) -> int:
        return self.journal.state.turn

    async def think(self) -> ModelReply:
        """Ask the model, again if need be, and store its whole answer at once."""
        if needs_compaction(self.journal.events, self.model.context_window, self.bounds.compact_at):
            await self.compact()
        turn = self.turn + 1
        partial: dict[str, str] = {}
        try:
            return await self._think(turn, partial)
        except asyncio.CancelledError:
            text = "".join(partial.values())
            if text.strip():
                self.journal.hold(Message(role="assistant", text=text, partial=True, turn=turn))
            raise

    async def _think(self, turn: int, partial: dict[str, str]) -> ModelReply:
        for attempt in range(1, self.bounds.max_attempts + 1):
            partial.clear()
            try:
                reply = await self._ask(turn, partial)
            except ContextOverflow:
                if attempt > 1:
                    raise
                await self.compact()
            except ModelError as error:
                if not error.retryable or attempt == self.bounds.max_attempts:
                    raise
                await self._back_off(error, attempt, turn)
            else:
                await self.journal.append(*self._events_of(reply, turn))
                return reply
        raise AssertionError("the last attempt returns or raises")

    async def _ask(self, turn: int, partial: dict[str, str]) -> ModelReply:
        """Send the request while the status that starts the turn is being stored.

        That status says that the request holds all the log has before it. Should somebody's message get
        in between, the request is taken back, hardly begun, and sent again with the message.
        """
        request, others = self._request(), self.journal.others
        status = Status(status="running", reason="thinking", turn=turn)
        stored = asyncio.create_task(self.journal.append(status))

        async def up_to_date() -> bool:
            await stored
            return self.journal.others == others or self._request() == request

        try:
            reply = await self._stream(request, turn, partial, up_to_date)
        finally:
            await stored
        if reply is None:
            reply = await self._stream(self._request(), turn, partial)
        assert reply is not None
        return reply

    def _request(self) -> ModelRequest:
        return ModelRequest(
            system=self.system,
            tools=self.tools,
            messages=self.history.messages(self.journal.session_events()),
            max_tokens=self.max_tokens,
        )

    async def _stream(
        self, request: ModelRequest, turn: int, partial: dict[str, str], wanted: Wanted | None = None
    ) -> ModelReply | None:
        """The answer, shown as it comes. None, and nothing shown, when `wanted` says no to its beginning."""
        async with aclosing(self.model.stream(request, turn=turn)) as items:
            async for item in items:
                if wanted is not None and not await wanted():
                    return None
                wanted = None
                if not isinstance(item, Delta):
                    return item
                if item.kind == "text":
                    partial[item.id] = partial.get(item.id, "") + item.text
                self.journal.publish(item)
        raise ModelError("The model's answer ended without an end.", kind="stream_broken", retryable=True)

    async def _back_off(self, error: ModelError, attempt: int, turn: int) -> None:
        """Exponential, with jitter, so that many runs do not come back all at once."""
        delay = min(LONGEST_DELAY, 0.5 * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311
        delay = max(delay, min(error.retry_after or 0.0, 2 * LONGEST_DELAY))
        await self.journal.append(
            Error(
                kind=error.kind,
                message=error.message,
                hint=error.hint,
                retrying=True,
                attempt=attempt,
                delay_ms=round(delay * 1000),
                turn=turn,
            )
        )
        await asyncio.sleep(delay)

    def _events_of(self, reply: ModelReply, turn: int) -> list[Event]:
        """The answer's blocks, its usage, and the start of what may start at once: one commit."""
        executable = reply.stop_reason == "tool_use"
        taken = set(self.journal.state.calls)
        events: list[Event] = []
        for block in reply.blocks:
            if block["type"] != "tool_use":
                events.append(event_of_block(block, turn))
            elif executable:
                call = call_of_block(block, turn, taken)
                taken.add(call.id)
                events.append(call)
        events.append(self._usage_of(reply, turn))
        calls = [event for event in events if isinstance(event, ToolCall)]
        if calls and all(self.executor.ready(call) for call in calls):
            events += [self.executor.start_event(call) for call in calls]
        return events

    def _usage_of(self, reply: ModelReply, turn: int) -> ContextUpdate:
        return ContextUpdate(
            model=reply.model,
            input_tokens=reply.usage.input_tokens,
            output_tokens=reply.usage.output_tokens,
            cache_read_tokens=reply.usage.cache_read_tokens,
            cache_write_tokens=reply.usage.cache_write_tokens,
            cost_usd=0.0 if self.model.demo else cost_usd(reply.model, reply.usage),
            context_tokens=reply.usage.context_tokens,
            context_window=self.model.context_window,
            turn=turn,
        )

    # -- tools --------------------------------------------------------------------------------------

    def calls_of(self, reply: ModelReply) -> list[folds.Call]:
        """The calls of this turn; none when the turn did not end in order to use tools."""
        return self.journal.state.open_calls if reply.stop_reason == "tool_use" else []

    async def act(self, calls: list[folds.Call]) -> None:
        """Calls that only read run side by side; the others one after the other, in order."""
        while calls:
            together = 0
            while together < len(calls) and self._may_start(calls[together]):
                together += 1
            batch, calls = calls[: together or 1], calls[together or 1 :]
            await self._execute(batch, last=not calls)
            await self.journal.checkpoint()

    def _may_start(self, call: folds.Call) -> bool:
        """What was ready with the answer was started with it; it is not asked about twice."""
        begun = call.start is not None and not self.executor.elsewhere(call.call)
        return begun or self.executor.ready(call.call)

    async def _execute(self, batch: list[folds.Call], *, last: bool) -> None:
        if last and len(batch) == 1:
            only = batch[0]
            self.journal.hold(*await self.executor.execute(only.call, started=only.start is not None))
            return
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.executor.execute(call.call, started=call.start is not None))
                for call in batch
            ]
            for task in asyncio.as_completed(tasks) if len(tasks) > 1 else tasks:
                events = await task
                if last and all(task.done() for task in tasks):
                    self.journal.hold(*events)  # goes with the status that starts the next turn
                else:
                    await self.journal.append(*events)

    async def finish_open_calls(self) -> None:
        """After a crash: what was never started is executed, what was started is never run again."""
        calls = self.journal.state.open_calls
        lost = [call for call in calls if call.start is not None and not self.executor.elsewhere(call.call)]
        for call in lost:
            await self.journal.append(interrupted(call.call))
        await self.act([call for call in calls if call not in lost])

    # -- what goes on, what ends ----------------------------------------------------------------------

    def more_to_do(self, reply: ModelReply) -> bool:
        """The model stopped: is there something it has not seen, or did it not mean to stop?"""
        if reply.stop_reason in ("max_tokens", "model_context_window_exceeded"):
            said = sum(e.text == CUT_OFF for e in self.journal.events if isinstance(e, Message))
            if said >= MOST_CUT_OFFS:
                raise ModelError(
                    f"The answer was cut off {MOST_CUT_OFFS + 1} times at {self.max_tokens} tokens.",
                    kind="max_tokens",
                    hint="Raise max_tokens, or ask for less at a time.",
                )
            self.journal.hold(Message(role="user", text=CUT_OFF, by=LOOP))
            return True
        if reply.stop_reason == "refusal":
            raise ModelError("The model refused to answer.", kind="refusal", hint="Rephrase the request.")
        return reply.stop_reason == "pause_turn" or self._unheard()

    def _unheard(self) -> bool:
        """A person said something after the last request was made."""
        for event in reversed(self.journal.events):
            if isinstance(event, Message) and event.role == "user":
                return True
            if isinstance(event, Status) and event.reason == "thinking":
                return False
        return False

    async def bound_reached(self) -> Ending | None:
        """Also the place where a pause or a new message is noticed between turns."""
        await self.journal.checkpoint()
        share, words = self.bounds.budget.nearest(self.journal.state)
        if share >= 1:
            self.journal.hold(used_up(words))
            return "budget"
        for said in self._warnings(share, words):
            self.journal.hold(said)
        if self.bounds.max_turns and self.turn - self.first_turn >= self.bounds.max_turns:
            return "max_turns"
        return None

    def _warnings(self, share: float, words: str) -> list[Error]:
        """What a person should hear of the budget, each once."""
        state = self.journal.state
        found = []
        if share >= WARN_AT and not any(words in said for said in state.warned):
            found.append(warning(share, words))
        if (
            self.bounds.budget.in_money
            and state.cost is None
            and not any("price" in said for said in state.warned)
        ):
            found.append(unknown_price(self.model.name))
        return found

    async def compact(self) -> None:
        await self.journal.append(Status(status="running", reason="compacting", turn=self.turn))
        await self.journal.append(
            await compacted(
                self.journal.session_events(), self.model, self.system, self.tools, self.max_tokens
            )
        )


def event_of_block(block: Json, turn: int) -> Event:
    """A block of the model's answer as an event that can give it back to the byte."""
    if block["type"] == "text":
        plain = set(block) == {"type", "text"}
        return Message(role="assistant", text=block["text"], content=None if plain else [block], turn=turn)
    if block["type"] == "thinking":
        plain = set(block) <= {"type", "thinking", "signature"}
        return Thought(
            text=block["thinking"],
            signature=block.get("signature"),
            block=None if plain else block,
            turn=turn,
        )
    if block["type"] == "redacted_thinking":
        return Thought(text="", block=block, turn=turn)
    return Message(role="assistant", text="", content=[block], turn=turn)


def call_of_block(block: Json, turn: int, taken: set[str]) -> ToolCall:
    """Some endpoints count their ids from 0 in every turn; ours are unique within the run."""
    call_id, number = str(block["id"]), 2
    while call_id in taken:
        call_id, number = f"{block['id']}_{number}", number + 1
    plain = set(block) == {"type", "id", "name", "input"}
    return ToolCall(
        id=call_id,
        tool=block["name"],
        args=block["input"],
        block=None if plain else {**block, "id": call_id},
        turn=turn,
    )


def interrupted(call: ToolCall) -> ToolResult:
    """The result of a call that was under way when its program stopped."""
    return error_result(call, INTERRUPTED)


def error_result(call: ToolCall, text: str, *, since: float | None = None) -> ToolResult:
    """A result that says what went wrong. `since` is a `time.monotonic()`."""
    return ToolResult(
        id=call.id,
        content=[{"type": "text", "text": text}],
        is_error=True,
        duration_ms=round((time.monotonic() - since) * 1000) if since is not None else 0,
        turn=call.turn,
    )
