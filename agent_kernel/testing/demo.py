"""The offline demo: a scripted analyst behind the Messages API. No AI."""

from __future__ import annotations

from agent_kernel.events import Json
from agent_kernel.testing.script import Text, Turn


class Demo:
    def answer(self, body: Json) -> Turn:
        return [Text("This is the offline demo, no AI.")]
