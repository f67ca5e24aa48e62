"""What a run may spend: warned at 80 %, paused at 100 %, and on with more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_kernel.client import Agent, Run
from agent_kernel.events import Error
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.test_runs_whole import NewAgent

PRICED = "claude-sonnet-4-5"


def said(run: Run, kind: str) -> list[str]:
    return [event.message for event in run.events if isinstance(event, Error) and event.kind == kind]


def turns(api: ScriptedMessages, number: int, command: str = "true") -> None:
    api.add(*[[ToolUse("bash", {"command": command})] for _ in range(number)], [Text("The end.")])


async def once(agent: Agent, **overrides: object) -> tuple[Run, float]:
    """A run of one turn, and what a turn costs."""
    run = await agent.run("One", **overrides)
    assert run.cost
    return run, run.cost


async def test_a_run_is_warned_paused_and_goes_on_with_more(
    new_agent: NewAgent, api: ScriptedMessages
) -> None:
    turns(api, 0)
    _, price = await once(new_agent(model=PRICED))
    turns(api, 9)
    agent = new_agent(model=PRICED, new=True)
    run = await agent.run("Many", budget=price * 6)
    assert (run.status, run.reason) == ("paused", "budget")
    assert len(said(run, "budget_warning")) == 1
    assert "of the run's budget of $" in said(run, "budget_warning")[0]
    assert "used up" in said(run, "budget")[0]
    again = await (await agent.resume(run.id, budget=1000.0)).wait()
    assert (again.status, again.text) == ("completed", "The end.")


@pytest.mark.parametrize("bound", ["budget_session", "budget_day"])
async def test_what_other_runs_spent_counts(
    new_agent: NewAgent, api: ScriptedMessages, settings: Settings, bound: str
) -> None:
    turns(api, 0)
    _, price = await once(new_agent(model=PRICED))
    bounded = replace(settings, **{bound: price * 2.5})  # type: ignore[arg-type]
    agent = new_agent(model=PRICED, settings=bounded)
    turns(api, 5)
    run = await agent.run("More")
    assert (run.status, run.reason) == ("paused", "budget")
    assert ("session's" if bound == "budget_session" else "today's") in said(run, "budget")[0]
    assert len([event for event in run.events if event.type == "context_update"]) <= 2


async def test_tokens_are_a_bound_too(new_agent: NewAgent, api: ScriptedMessages, settings: Settings) -> None:
    turns(api, 5)
    run = await new_agent(settings=replace(settings, budget_tokens=1)).run("Go")
    assert (run.status, run.reason) == ("paused", "budget")
    assert "1 tokens" in said(run, "budget")[0]


async def test_time_is_a_bound_too(new_agent: NewAgent, api: ScriptedMessages, settings: Settings) -> None:
    turns(api, 5, "sleep 1.1")
    run = await new_agent(settings=replace(settings, budget_seconds=1)).run("Go")
    assert (run.status, run.reason) == ("paused", "budget")
    assert "seconds of work" in said(run, "budget")[0]


async def test_a_price_that_is_not_known_is_said_once(new_agent: NewAgent, api: ScriptedMessages) -> None:
    turns(api, 3)
    run = await new_agent().run("Go", budget=1.0)
    assert run.status == "completed"
    assert [message for message in said(run, "budget_warning") if "not known" in message] == said(
        run, "budget_warning"
    )
    assert len(said(run, "budget_warning")) == 1
