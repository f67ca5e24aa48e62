"""What a server asks the person in the middle of a call (the protocol's elicitation).

A yes sends what the server itself proposed for each field, nothing else; a form that wants more is declined, and so is
one that sends people to a web page: what a stranger asks for here may be a password.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agent_kernel.events import Json
from agent_kernel.tools.base import Asker
from agent_kernel.tools.output import line_of

MOST_MESSAGE = 500
REASON = "A server you connected asks you this during a call. If you allow it, it is told what it proposed: {answer}."


@dataclass(slots=True)
class _Call:
    ask: Asker
    emit: Callable[[str], None]
    stopped: Callable[[bool], None]


class Asking:
    """The questions of one server. They belong to the call that began last: the protocol does not say to which."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._calls: list[_Call] = []
        self._numbers = itertools.count(1)

    @contextmanager
    def during(
        self, ask: Asker, emit: Callable[[str], None], stopped: Callable[[bool], None]
    ) -> Iterator[None]:
        """Questions may come, and go to `ask`. `stopped(True)` until they are answered: people take their time."""
        call = _Call(ask, emit, stopped)
        self._calls.append(call)
        try:
            yield
        finally:
            self._calls.remove(call)

    async def asked(self, context: object, params: Any) -> Any:
        """The SDK's callback: an `ElicitResult`."""
        from mcp_types import ElicitResult

        if not self._calls:
            return ElicitResult(action="decline")
        call = self._calls[-1]
        message = line_of(str(params.message))[:MOST_MESSAGE]
        answer = proposed(params.requested_schema) if getattr(params, "mode", "form") == "form" else None
        if answer is None:
            call.emit(f"{self._server} asks what nobody can fill in here, and is told no: {message}\n")
            return ElicitResult(action="decline")
        call.stopped(True)
        try:
            said = await self._ask(call.ask, message, answer)
        finally:
            call.stopped(False)
        return ElicitResult(action="accept", content=answer) if said else ElicitResult(action="decline")

    def _ask(self, ask: Asker, message: str, answer: Json) -> Awaitable[bool]:
        shown = json.dumps(answer, ensure_ascii=False)[:MOST_MESSAGE] if answer else "yes"
        scope = f"elicitation:{self._server}:{next(self._numbers)}"  # each question is one of its own
        return ask(
            scope=scope, what=f"{self._server} asks: {message}", reason=REASON.format(answer=line_of(shown))
        )


def proposed(schema: Any) -> Json | None:
    """What the server proposes for each field; None when a field that is required has nothing proposed."""
    said = schema if isinstance(schema, dict) else schema.model_dump(by_alias=True, exclude_none=True)
    fields = said.get("properties") or {}
    answer = {
        name: field["default"]
        for name, field in fields.items()
        if isinstance(field, dict) and "default" in field
    }
    return answer if set(said.get("required") or ()) <= set(answer) else None
