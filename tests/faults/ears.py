"""Whoever listens to runs in bad weather: each event of each run reaches them once, in order, as it was stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Self

import httpx2

from agent_kernel.app import App
from agent_kernel.errors import StoreError
from agent_kernel.events import FINAL_STATUSES, Event
from tests.server.conftest import TOKEN

SILENCE = 40.0
"""Seconds without a sign of life after which a connection counts as broken; the server gives one each 15."""
AGAIN = 0.3


class Ears:
    """`async with Ears(app, runs, url) as ears:` follows all runs twice: by the log as programs do, and by one
    stream of the server at `url()` as a page does, made again from its cursor whenever it breaks."""

    def __init__(self, app: App, runs: Iterable[str], url: Callable[[], str]) -> None:
        self._app = app
        self.runs = tuple(runs)
        self._url = url
        self.log: defaultdict[str, list[Any]] = defaultdict(list)
        self.page: defaultdict[str, list[Any]] = defaultdict(list)
        self.broken = 0
        """How often the page's stream broke."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow(run)) for run in self.runs]
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(AttributeError, OSError):
            self._client.close()
        await asyncio.to_thread(self._thread.join, SILENCE)

    async def heard_all(self, patience: float) -> None:
        """Wait until both have heard of the end of every run. Raises AssertionError."""
        try:
            async with asyncio.timeout(patience):
                while self._deaf():  # noqa: ASYNC110 - a thread listens
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"did not hear that runs have ended: {self._deaf()}") from None

    def _deaf(self) -> list[tuple[str, str, int]]:
        return [
            (name, run, len(heard[run]))
            for name, heard in (("log", self.log), ("page", self.page))
            for run in self.runs
            if not _over(heard[run])
        ]

    def agree(self, run_id: str, events: Sequence[Event]) -> None:
        """What was heard is what is stored. Raises AssertionError."""
        stored = [event.model_dump(mode="json") for event in events]
        for name, heard in (("log", self.log), ("page", self.page)):
            if (told := heard[run_id]) != stored:
                numbers = [event["seq"] for event in told]
                different = [one["seq"] for one, other in zip(told, stored, strict=False) if one != other]
                raise AssertionError(
                    f"the {name} told {numbers} of {run_id}, stored are {len(stored)}; different: {different}"
                )

    async def _follow(self, run: str) -> None:
        while not _over(self.log[run]):
            with contextlib.suppress(StoreError):  # it is away
                async with aclosing(self._app.log.follow(run, len(self.log[run]), deltas=False)) as events:
                    async for event in events:
                        self.log[run].append(event.model_dump(mode="json"))
            await asyncio.sleep(AGAIN)

    def _listen(self) -> None:
        with httpx2.Client(trust_env=False, timeout=SILENCE) as self._client:
            while not self._closing.wait(AGAIN):
                with contextlib.suppress(httpx2.HTTPError, RuntimeError):
                    self._listen_once()
                self.broken += 1

    def _listen_once(self) -> None:
        where = "&".join(f"run={run}:{len(self.page[run])}" for run in self.runs)
        address = f"{self._url()}/api/agent/stream?{where}"
        with self._client.stream("GET", address, headers={"Authorization": f"token {TOKEN}"}) as answer:
            for line in answer.iter_lines() if answer.status_code == 200 else ():
                if self._closing.is_set():
                    return
                if line.startswith("data: {") and (event := json.loads(line[6:])).get("seq"):
                    self.page[event["run_id"]].append(event)


def _over(events: Sequence[Any]) -> bool:
    return bool(events) and events[-1]["type"] == "status" and events[-1]["status"] in FINAL_STATUSES
