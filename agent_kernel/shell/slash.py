"""Slash commands: one registry for the magics, the agent kernel and the panel.

A command gets the session's agent, its last run and the rest of the line, and answers in Markdown. What
comes from a model, a tool or a file name is always inside code, where Markdown means nothing.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agent_kernel.client import Agent, Run
from agent_kernel.errors import AgentKernelError
from agent_kernel.events import FINAL_STATUSES, Event, Json
from agent_kernel.folds import settles
from agent_kernel.shell.attach import fenced
from agent_kernel.shell.options import UsageError
from agent_kernel.shell.textview import clean, one_line

MOST_RUNS = 20
NO_RUN = "Nothing has run in this session yet."
SKILL_STATES = {
    "on": "in use",
    "off": "off",
    "untrusted": "not trusted",
    "shadowed": "hidden by a nearer one",
    "broken": "broken",
}
UNTRUSTED = (
    "The agent does not see what is not trusted: anybody may have written it. Read it, then trust it with"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command answers: Markdown; a prompt to run now; or a run to show from here on."""

    text: str = ""
    prompt: str = ""
    follow: Run | None = None
    earlier: Sequence[Event] = ()
    """For a resumed run: its events up to where it had settled."""


Begin = Callable[[Callable[[], Coroutine[Any, Any, Run]]], Awaitable[Run]]
"""Waits for what sets a run going; whoever is stopped meanwhile may have to stop the run too."""


async def as_it_is(start: Callable[[], Coroutine[Any, Any, Run]]) -> Run:
    return await start()


@dataclass(frozen=True, slots=True)
class Call:
    """A command being carried out."""

    agent: Agent
    run: Run | None
    argument: str
    overrides: Json = field(default_factory=dict)
    """Settings said with the command: `%agent --budget 2 /resume`."""
    begin: Begin = as_it_is

    async def last_run(self) -> Run | None:
        """The run that was given, else the session's newest in the store."""
        run = self.run
        if run is None and (rows := await self.agent.runs(1)):
            run = await self.agent.get(rows[0].id)
        return await run.catch_up() if run else None

    async def needed_run(self) -> Run:
        run = await self.last_run()
        if run is None:
            raise AgentKernelError(NO_RUN, hint="Give a prompt first.")
        return run


Command = Callable[[Call], Awaitable[Reply]]
COMMANDS: dict[str, tuple[str, Command]] = {}
"""By name: one line of help, and the function."""


def command(name: str, says: str) -> Callable[[Command], Command]:
    def register(function: Command) -> Command:
        COMMANDS[name] = (says, function)
        return function

    return register


def is_command(text: str) -> bool:
    """`/word` alone or with an argument on one line. A path such as `/tmp/x` is a prompt."""
    return re.fullmatch(r"/[a-z]+([ \t][^\n]*)?", text.strip()) is not None


async def perform(
    text: str, agent: Agent, run: Run | None, overrides: Json | None = None, begin: Begin = as_it_is
) -> Reply:
    """Carry out what was typed. `run` defaults to the session's newest. Raises UsageError, RunError."""
    name, _, argument = text.strip()[1:].partition(" ")
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        raise UsageError(
            f"/{name} is not a command.", hint=f"Did you mean /{close[0]}?" if close else "See /help."
        )
    return await COMMANDS[name][1](Call(agent, run, argument.strip(), overrides or {}, begin))


@command("help", "this list")
async def _help(call: Call) -> Reply:
    return Reply("\n".join(f"- `/{name}` {says}" for name, (says, _) in COMMANDS.items()))


@command("status", "what the session is, and what its last run is doing")
async def _status(call: Call) -> Reply:
    info = call.agent.info()
    demo = " (offline demo, no AI)" if info.get("demo") else ""
    lines = [
        f"- session {code(str(info['session']))} in {code(str(info['workspace']))}",
        f"- model {code(str(info['model']))}{demo}, permission `{info['permission']}`, "
        f"sandbox `{info['tier']}`",
    ]
    run = await call.last_run()
    if run is None:
        return Reply("\n".join([*lines, f"- {NO_RUN}"]))
    lines.append(f"- run `{run.id}` {run.status} ({code(run.reason or run.status)}): {code(run.prompt)}")
    lines += [f"  - [{'x' if item.status == 'completed' else ' '}] {code(item.text)}" for item in run.todo]
    return Reply("\n".join(lines))


@command("stop", "stop the run")
async def _stop(call: Call) -> Reply:
    run = await call.needed_run()
    if run.status in FINAL_STATUSES:
        return Reply(f"Run `{run.id}` is {run.status} already.")
    await run.stop()
    await run.wait()
    return Reply(f"Run `{run.id}` is {run.status}.")


@command("pause", "pause the run after the step it is at")
async def _pause(call: Call) -> Reply:
    run = await call.needed_run()
    if run.status in FINAL_STATUSES:
        return Reply(f"Run `{run.id}` is {run.status} already.")
    await run.pause()
    return Reply(f"Run `{run.id}` pauses; `/resume` goes on.")


@command("resume", "go on with a paused or interrupted run: /resume [ID]")
async def _resume(call: Call) -> Reply:
    run = await call.agent.get(call.argument) if call.argument else await call.needed_run()
    if run.status == "paused" and run.events and not settles(run.events[-1]):
        await run.resume()  # its cell still shows it
        return Reply(f"Run `{run.id}` goes on.")
    if run.status == "paused" or run.status in FINAL_STATUSES:
        await run.wait()  # until its events have been read
    settled = [number for number, event in enumerate(run.events, 1) if settles(event)]
    earlier = run.events[: settled[-1]] if settled else []
    again = await call.begin(partial(call.agent.resume, run.id, **call.overrides))
    return Reply(follow=again, earlier=earlier)


@command("undo", "put files back to before the run: /undo [PATH]")
async def _undo(call: Call) -> Reply:
    undo = await (await call.needed_run()).undo(path=call.argument or None)
    lines = [f"- put back {code(path)}" for path in undo.paths]
    lines += [f"- left alone, changed since: {code(path)}" for path in undo.skipped]
    return Reply("\n".join(lines) or "Nothing had to be put back.")


@command("diff", "the run's changes to files")
async def _diff(call: Call) -> Reply:
    diff = (await call.needed_run()).diff()
    return Reply(fenced(clean(diff)).replace("\n", "diff\n", 1) if diff else "No file was changed.")


@command("cost", "tokens and money of the run")
async def _cost(call: Call) -> Reply:
    run = await call.needed_run()
    usage, cost = run.usage, run.cost
    price = "price not known" if cost is None else f"${cost:.4f}"
    return Reply(
        f"- run `{run.id}`: {price}\n"
        f"- {usage.prompt_tokens:,} tokens in ({usage.cache_share:.0%} from cache), "
        f"{usage.output_tokens:,} out"
    )


@command("model", "the model, or another one from now on: /model [NAME]")
async def _model(call: Call) -> Reply:
    if call.argument:
        call.agent.settings = call.agent.settings.with_overrides("/model", model=call.argument)
    return Reply(f"Model: {code(call.agent.settings.model)}")


@command("skills", "what the agent knows how to do, and use one or not: /skills [on|off NAME]")
async def _skills(call: Call) -> Reply:
    word, _, name = call.argument.partition(" ")
    if call.argument and (word not in ("on", "off") or not name.strip()):
        raise UsageError(
            f"/skills {call.argument} is not understood.", hint="Say /skills on NAME, or off NAME."
        )
    if call.argument:
        skill = await call.agent.switch_skill(name.strip(), word == "on")
        return Reply(f"Skill {code(skill['name'])} is {SKILL_STATES[skill['state']]}.")
    skills = await call.agent.skills()
    lines = [_skill_line(skill) for skill in skills]
    if any(skill["state"] == "untrusted" for skill in skills):
        lines.append(
            f"\n{UNTRUSTED} {code(f'agent-kernel skills trust --cwd {shlex.quote(str(call.agent.workspace))}', 300)}"
        )
    return Reply("\n".join(lines) or "There are no skills.")


def _skill_line(skill: Json) -> str:
    state = "" if skill["state"] == "on" else f" **{SKILL_STATES[skill['state']]}**"
    wrong = [problem["text"] for problem in skill["problems"] if problem["level"] == "error"]
    says = f"does not load: {code(wrong[0])}" if wrong else code(skill["description"], 160)
    return f"- {code(skill['name'])} ({skill['scope']}){state}: {says}"


@command("tools", "what the agent can do, and what needs your consent; /tools refresh asks MCP servers again")
async def _tools(call: Call) -> Reply:
    if call.argument not in ("", "refresh"):
        raise UsageError(f"/tools {call.argument} is not a command.", hint="Say /tools, or /tools refresh.")
    if call.argument == "refresh":
        await call.agent.refresh_tools()
        return Reply("The next prompt has the tools that MCP servers offer then.")
    says = {"read": "only reads", "sandbox": "stays in the sandbox", "outside": "leaves the sandbox"}
    lines = [
        f"- `{tool['name']}` ({says.get(tool['access'], tool['access'])}): {code(tool['description'], 200)}"
        for tool in call.agent.tools()
    ]
    return Reply("\n".join([*lines, *_servers(await call.agent.mcp())]))


def _servers(report: Json) -> list[str]:
    """A line for each MCP server, and one for what keeps others out."""
    lines = []
    for server in report["servers"]:
        state = server["state"] if server["on"] else "off"
        tools = ", ".join(tool["name"] for tool in server["tools"])
        why = f" {code(server['problem'])}" if server["problem"] else ""
        lines.append(
            f"- MCP server {code(server['name'])} ({state}): {code(tools or server['where'], 200)}{why}"
        )
    lines += [f"- {code(problem, 300)}" for problem in report["problems"]]
    if report["waiting"]:
        names = ", ".join(code(server["name"]) for server in report["waiting"])
        lines.append(
            f"- Not trusted: {names} of `.mcp.json`. Look with `agent-kernel mcp list`, then `mcp trust`."
        )
    return lines


@command("runs", "the session's runs, newest first")
async def _runs(call: Call) -> Reply:
    rows = await call.agent.runs(MOST_RUNS)
    lines = [f"- `{row.id}` {row.status}: {code(row.prompt)}" for row in rows]
    return Reply("\n".join(lines) or NO_RUN)


@command("show", "show a run here, whole and live: /show [ID]")
async def _show(call: Call) -> Reply:
    return Reply(follow=await call.agent.get(call.argument or (await call.needed_run()).id))


@command("export", "write the transcript: /export FILE.ipynb|.html|.md")
async def _export(call: Call) -> Reply:
    run = await call.needed_run()
    target = _target(call, f"run-{run.id}.ipynb", (".ipynb", ".html", ".md"))
    return Reply(f"Written: {code(str(run.save(target)))}")


@command(
    "notebook", "write a clean notebook of the run's Python, which gives the result again: /notebook [FILE]"
)
async def _notebook(call: Call) -> Reply:
    run = await call.needed_run()
    target = _target(call, f"analysis-{run.id}.ipynb", (".ipynb",))
    return Reply(f"Written: {code(str(await run.to_notebook(target)))}")


def _target(call: Call, name: str, endings: Sequence[str]) -> Path:
    """The file a command names, in the workspace unless it says otherwise."""
    path = Path(call.argument or name).expanduser()
    if path.suffix not in endings:
        raise UsageError(f"{path.name} ends in none of {', '.join(endings)}.")
    target = path if path.is_absolute() else call.agent.workspace / path
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}.")
    return target


@command("retry", "run the last prompt again")
async def _retry(call: Call) -> Reply:
    return Reply(prompt=(await call.needed_run()).prompt)


@command("say", "tell a running agent something; it hears it with its next request: /say MESSAGE")
async def _say(call: Call) -> Reply:
    run = await call.needed_run()
    await run.say(call.argument)
    return Reply(f"Run `{run.id}` hears it with its next request.")


@command("approve", "what the run asks, and your answer: /approve [allow|session|deny]")
async def _approve(call: Call) -> Reply:
    run = await call.needed_run()
    asks = run.asks
    if call.argument and call.argument not in ("allow", "session", "deny"):
        raise UsageError(f"{call.argument!r} is not an answer.", hint="Say allow, session or deny.")
    if not asks:
        return Reply(f"Run `{run.id}` asks nothing.")
    if not call.argument:
        return Reply("\n".join(f"- {code(ask.what)}: {code(ask.reason)}" for ask in asks))
    await run.answer(asks[0].id, call.argument)
    left = [f"- still asks: {code(ask.what)}" for ask in asks[1:]]
    return Reply("\n".join([f"- {call.argument}: {code(asks[0].what)}", *left]))


@command("fork", "another way from here, or from an event: /fork [SEQ] [--restore] PROMPT")
async def _fork(call: Call) -> Reply:
    run = await call.needed_run()
    match = re.match(r"(?:(\d{1,9})(?:\s+|$))?(--restore(?:\s+|$))?(.*)", call.argument, re.DOTALL)
    assert match is not None
    seq, restore, prompt = match.groups()
    if not seq and not prompt:
        raise UsageError(
            "/fork needs a prompt, or the event to go on from.",
            hint="Such as: /fork 12 --restore Use a bar chart instead",
        )
    at = int(seq) if seq else len(run.events)
    fork = partial(call.agent.fork, run.id, at, prompt, restore=bool(restore), **call.overrides)
    copy = await call.begin(fork)
    return Reply(follow=copy)


WHEN = r"""(?:hourly|daily|weekly|"[^"]*"|'[^']*'|(?:[\d*][\d*/,-]*\s+){3}[\w*/,-]+\s+[\w*/,-]+)"""


@command("schedule", "a prompt by the clock: /schedule [--timezone ZONE] NAME daily|'0 9 * * MON' PROMPT")
async def _schedule(call: Call) -> Reply:
    if match := re.fullmatch(r"(pause|resume|delete)\s+(\S.*)", call.argument):
        await call.agent.change_schedule(match[2].strip(), match[1])
        return await _schedules(call)
    match = re.fullmatch(rf"(?:--timezone\s+(\S+)\s+)?(\S+)\s+({WHEN})\s+(\S.*)", call.argument)
    if match is None:
        raise UsageError(
            "/schedule needs a name, a time and a prompt.",
            hint="Such as: /schedule report '0 9 * * MON-FRI' Update report.md. Also: /schedule pause NAME",
        )
    zone, name, when, prompt = match.groups()
    await call.agent.schedule(
        name, when.strip("\"'"), prompt, timezone=zone or "UTC", settings=call.overrides
    )
    return await _schedules(call)


@command("schedules", "prompts that start by the clock; /schedule pause|resume|delete NAME")
async def _schedules(call: Call) -> Reply:
    lines = []
    for planned in await call.agent.schedules():
        one = planned.schedule
        times = ", ".join(time.strftime("%a %d %b %H:%M") for time in planned.next) or "paused"
        last = f"; last: {code(planned.last)}" if planned.last else ""
        lines.append(f"- {code(one.name)} `{one.cron}` {code(one.timezone)}: {code(one.prompt)}")
        lines.append(f"  - next {times}{last}")
    if not lines:
        return Reply("There are no schedules.")
    note = "They start while a Jupyter server with agent-kernel, or `agent-kernel worker`, runs."
    return Reply("\n".join([*lines, "", note]))


@command("compact", "replace the conversation so far, for the model, by a summary it writes")
async def _compact(call: Call) -> Reply:
    summary = await call.agent.shorten()
    return Reply(f"The next prompt goes on from this summary:\n\n{fenced(clean(summary))}")


@command("clear", "have the model forget the conversation so far; you still see it")
async def _clear(call: Call) -> Reply:
    await call.agent.shorten(clear=True)
    return Reply("The next prompt begins with an empty window. Files and the sandbox stay as they are.")


def code(text: str, width: int = 100) -> str:
    """Foreign text on one line as a Markdown code span that it cannot leave."""
    line = one_line(text, width) or " "
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"
