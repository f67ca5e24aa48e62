"""Executes tool calls: permission, start, run, snapshot, result. One call, exactly one result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel import folds, foreign
from agent_kernel.errors import SandboxError, ToolError
from agent_kernel.events import (
    LOOP,
    ApprovalAnswer,
    ApprovalRequest,
    Delta,
    Error,
    Event,
    FileChange,
    Status,
    ToolCall,
    ToolResult,
    ToolStart,
)
from agent_kernel.journal import RunJournal
from agent_kernel.loop import error_result
from agent_kernel.previews import PreviewWatch
from agent_kernel.sandbox.base import NetworkDecision, NetworkPolicy, NetworkRequest, Sandbox
from agent_kernel.sandbox.egress import matches
from agent_kernel.skills.allowed import used
from agent_kernel.skills.skill import Skill, slug
from agent_kernel.tools import invalid, run_tool
from agent_kernel.tools.base import AttachedKernel, KernelBridge, Tool, ToolContext, ToolOutput
from agent_kernel.tools.calls import marked
from agent_kernel.tools.notebook.pages import OpenNotebooks

NOBODY = (
    "Denied: this needs a person's approval and there is nobody to ask here. "
    "Run it with a permission that allows it, or do without."
)
PLAN = "Denied: the permission is `plan`, which only reads. Say what you would do instead of doing it."
WHY = {
    "sandbox": "With the permission “ask” you confirm every change.",
    "outside": "This leaves the sandbox: it runs in your own kernel or reaches other services.",
}
NARROWED = "The skill {name}, which is in use, does not list this among the tools that run without asking."

HANDOVER_TIMEOUT = 300.0
"""Seconds that a call on the desktop waits for a person to hand it back."""
CONNECTS = "The sandbox has no network of its own; this would send data to the internet."
READS = "The address goes to the internet, with whatever it says."


@dataclass(slots=True)
class _Asked:
    """A question to a person, and how many wait for the answer."""

    task: asyncio.Task[ApprovalAnswer]
    waiting: int = 0


class Permissions:
    """Who may do what in this run, asking a person where the permission says so. `broad` are host patterns that
    allow a connection until text of strangers was read."""

    def __init__(
        self,
        journal: RunJournal,
        permission: str,
        interactive: bool,
        owner: str,
        skills: Sequence[Skill] = (),
        broad: tuple[str, ...] = (),
    ):
        self.journal = journal
        self.permission = permission
        self.interactive = interactive
        self.owner = owner
        self.broad = broad
        self.narrowing = {skill.name: skill.allowed for skill in skills if skill.allowed is not None}
        self._waiting = 0
        self._asked: dict[str, _Asked] = {}

    def question(self, tool: Tool, call: ToolCall) -> tuple[str, str]:
        """Why a person must confirm this call under the run's permission, and what a yes for the session would
        cover; both empty when nobody has to."""
        if self.permission == "bypass":
            return "", ""
        caution, scope = self._caution(tool, call)
        usual = self._usual(tool, call)
        if usual and not caution and self.allowed(tool.name):
            usual = ""
        return f"{usual} {caution}".strip(), tool.name if usual else scope

    def _usual(self, tool: Tool, call: ToolCall) -> str:
        """Why calls of this kind ask, whatever was read."""
        if tool.access == "read":
            return ""
        if self._granted(tool, call) and self.permission == "accept-edits":
            return self._narrowed(call)
        if tool.access == "outside" or self.permission in ("ask", "plan"):
            return WHY[tool.access]
        return self._narrowed(call)

    def _granted(self, tool: Tool, call: ToolCall) -> bool:
        return tool.granted is not None and tool.granted(call.args, self.journal.session_events())

    def _narrowed(self, call: ToolCall) -> str:
        """Skills in use may say what runs without asking; whatever none of them lists asks."""
        names = [slug(name) for name in used(self.journal.events)] if self.narrowing else []
        lists = [self.narrowing[name] for name in names if name in self.narrowing]
        if not lists or any(allowed.covers(call.tool, call.args) for allowed in lists):
            return ""
        return NARROWED.format(name=next(name for name in names if name in self.narrowing))

    def _caution(self, tool: Tool, call: ToolCall) -> tuple[str, str]:
        """The same, for what text of strangers may have talked the model into."""
        touched, events = foreign.credentials(call.args), self.journal.session_events()
        loads = (
            foreign.made_up(events, tool.shown(call.args))
            if tool.shown and not invalid(tool, call.args)
            else ""
        )
        if not (touched or loads or tool.access == "outside" or tool.sends):
            return "", ""
        care = foreign.care(events)
        inside = tool.access != "outside"
        source = care.newest(
            but=tool.name if inside and not touched else None,
            own=tool.source if inside and not touched else "",  # who said it may be asked for more
            ever=bool(loads) or not (inside or self._granted(tool, call)),  # an older yes did not know of it
        )
        scope = f"credentials:{touched}" if touched and inside else f"shows:{loads}" if loads else tool.name
        if not source or scope in care.allowed:
            return "", ""
        what = f"This touches {touched}, which looks like credentials. " if touched else ""
        if loads:
            what += f"Your browser would load {loads}, an address that nobody gave, and with it whatever it says. "
        return what + foreign.because(source), scope

    def allowed(self, scope: str) -> bool:
        return scope in folds.allowed_scopes(self.journal.session_events())

    async def refusal(self, tool: Tool, call: ToolCall, shown: Callable[[], Awaitable[str]]) -> str:
        """Empty when the call may run; else the words for the model. `shown` gives what a person is shown of it."""
        reason, scope = self.question(tool, call)
        if not reason:
            return ""
        if self.permission == "plan" and not tool.read_only:
            return PLAN
        answer = await self.ask(
            ApprovalRequest(
                id=call.id,
                call_id=call.id,
                tool=tool.name,
                what=tool.describe(call.args) if self._is_asked(call.id) else await shown(),
                reason=reason,
                scope=scope,
                turn=call.turn,
            )
        )
        if answer.decision != "deny":
            return ""
        return answer.reason or "Denied by the person. Do not try to get around it; go on without, or ask."

    def _is_asked(self, request_id: str) -> bool:
        """Before the process that asked died: the request stands, as it was shown then."""
        return request_id in folds.approvals(self.journal.events)

    async def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Ask, and wait for the answer. The same request asked twice is asked once, and while anybody waits for it."""
        asked = self._asked.get(request.id)
        if asked is None:
            asked = self._asked[request.id] = _Asked(asyncio.create_task(self._ask(request)))
        asked.waiting += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting and not asked.task.done():
                asked.task.cancel()
                await asyncio.wait({asked.task})

    async def _ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        known = folds.approvals(self.journal.events)
        if (earlier := known.get(request.id)) is not None:
            return earlier
        if not self.interactive:
            answer = ApprovalAnswer(id=request.id, decision="deny", by=self.owner, reason=NOBODY)
            await self.journal.append(request, answer)
            return answer
        self._waiting += 1
        waits = Status(status="waiting", reason="approval", turn=request.turn)
        await self.journal.append(*([] if request.id in known else [request]), waits)
        try:
            await self.journal.wait_for(lambda: self._answer(request.id) is not None)
        except asyncio.CancelledError:
            # Nobody waits for it any more: left open, it would invite an answer without effect.
            self.journal.hold(
                ApprovalAnswer(id=request.id, decision="deny", by=LOOP, reason="No longer needed.")
            )
            raise
        finally:
            self._waiting -= 1
        if not self._waiting:
            await self.journal.append(Status(status="running", reason="executing", turn=request.turn))
        answered = self._answer(request.id)
        assert answered is not None
        return answered

    def _answer(self, request_id: str) -> ApprovalAnswer | None:
        for event in reversed(self.journal.events):
            if isinstance(event, ApprovalAnswer) and event.id == request_id:
                return event
        return None


def network_free(permissions: Permissions) -> Callable[[NetworkRequest], bool]:
    """Whether a host may be reached without a question, now: allowed by a person, and no strangers had a say since."""

    def free(request: NetworkRequest) -> bool:
        if permissions.journal.closed:  # it knows of nobody any more: neither of a yes nor of strangers
            return False
        if permissions.permission == "bypass":
            return True
        events, broad = permissions.journal.session_events(), permissions.broad
        if not (matches(request.host, broad) or permissions.allowed(f"network:{request.host}")):
            return False
        if _holds(request.host, broad, foreign.care(events)):
            return True
        return bool(request.url) and foreign.was_seen(events, request.origin or request.url)

    return free


def _holds(host: str, broad: tuple[str, ...], care: foreign.Care) -> bool:
    """Whether nobody has to say again that a host may be reached, after what strangers have said."""
    return not care.newest(ever=not matches(host, broad)) or f"network:{host}" in care.allowed


def network_asker(permissions: Permissions, for_call: ToolCall | None = None) -> NetworkDecision:
    """Asks about a host the first time something wants to reach it, and again once strangers had a say. `for_call` is
    the call that wants it, where that is known."""

    free = network_free(permissions)

    async def decide(request: NetworkRequest) -> bool:
        if free(request):
            return True
        if permissions.journal.closed:
            return False
        scope = f"network:{request.host}"
        care = foreign.care(permissions.journal.session_events())
        source = care.newest(ever=permissions.allowed(scope))
        found = next(iter(permissions.journal.state.open_calls), None)
        call = for_call or (found.call if found else None)
        call_id = call.id if call else f"after {source}" if source else ""
        answer = await permissions.ask(
            ApprovalRequest(
                id=f"{call_id}:{scope}",
                call_id=call.id if call else "",
                tool=call.tool if call else "network",
                what=f"Read {request.url}"
                if request.url
                else f"Connect to {request.host}, port {request.port}",
                reason=f"{READS if request.url else CONNECTS} {foreign.because(source) if source else ''}".strip(),
                scope=scope,
                turn=call.turn if call else 0,
            )
        )
        return answer.decision != "deny"

    return decide


def network_afterwards(policy: NetworkPolicy, permissions: Permissions) -> NetworkPolicy:
    """For what goes on in the sandbox when the run has ended: what had been decided by then. Nobody is asked, and the
    run's log, with all of the conversation, need not be kept."""
    if policy.ask is None:
        return policy
    events, broad = permissions.journal.session_events(), permissions.broad
    bypass = permissions.permission == "bypass"
    scopes, care = folds.allowed_scopes(events), foreign.care(events)

    def lets(request: NetworkRequest) -> bool:
        allowed = matches(request.host, broad) or f"network:{request.host}" in scopes
        return bypass or (allowed and _holds(request.host, broad, care))

    async def decide(request: NetworkRequest) -> bool:
        return lets(request)

    return replace(policy, ask=decide, lets=lets)


class CallExecutor:
    """The loop's `Executor` for one run."""

    def __init__(
        self,
        *,
        journal: RunJournal,
        sandbox: Sandbox,
        tools: Mapping[str, Tool],
        permissions: Permissions,
        state: dict[str, Any],
        kernel: KernelBridge | AttachedKernel | None,
        write_lock: asyncio.Lock,
        worker: str,
        previews: PreviewWatch,
        network: NetworkPolicy | None = None,
        heard: set[str] | None = None,
        notebooks: OpenNotebooks | None = None,
    ):
        self.journal = journal
        self.notebooks = notebooks
        self.previews = previews
        self.network = network or NetworkPolicy()
        self.heard = heard if heard is not None else set()
        self.sandbox = sandbox
        self.tools = tools
        self.permissions = permissions
        self.state = state
        self._files, self._read = foreign.Files(), 0
        self.kernel = kernel
        self.write_lock = write_lock
        self.worker = worker
        self._handovers = 0

    def ready(self, call: ToolCall) -> bool:
        tool = self._meant(call)
        return tool is None or (
            tool.read_only and not self.elsewhere(call) and not self.permissions.question(tool, call)[0]
        )

    def _meant(self, call: ToolCall) -> Tool | None:
        """The tool whose access counts: for one that stands for others, the one its arguments name."""
        tool = self.tools.get(call.tool)
        return (tool.target(call.args) or tool) if tool is not None and tool.target else tool

    def start_event(self, call: ToolCall) -> ToolStart:
        return ToolStart(id=call.id, executor=self.worker, turn=call.turn)

    async def execute(self, call: ToolCall, *, started: bool) -> list[Event]:
        tool = self._meant(call)
        if tool is not None and not started and (refusal := await self._refusal(tool, call)):
            return [error_result(call, refusal)]
        if tool is not None and tool.read_only and self.elsewhere(call):
            await self._wait_for_kernel(tool, call)
            return []
        if tool is None or tool.read_only:
            if not started:
                await self.journal.append(self.start_event(call))
            return await self._run(call)
        async with self.write_lock:
            return await self._run_changing(tool, call, started)

    async def _refusal(self, tool: Tool, call: ToolCall) -> str:
        async def shown() -> str:
            if tool.show is None or invalid(tool, call.args):
                return tool.describe(call.args)
            return await tool.show(call.args, self._context(call))

        try:
            return await self.permissions.refusal(tool, call, shown)
        except ToolError as error:
            return str(error)

    def elsewhere(self, call: ToolCall) -> bool:
        """Whether the notebook's kernel executes this call, and a start without a result is not the end."""
        tool = self.tools.get(call.tool)
        return tool is not None and tool.in_kernel and isinstance(self.kernel, AttachedKernel)

    async def _run_changing(self, tool: Tool, call: ToolCall, started: bool) -> list[Event]:
        """With a snapshot on both sides, so that each change belongs to its call and can be undone."""
        self.heard.clear()
        if tool.prepare is not None:
            await tool.prepare(call.args, self._context(call))
        try:
            before = await self.sandbox.snapshot()
        except SandboxError as error:  # without one, what the call changes could not be taken back
            return [error_result(call, f"Not done: {error}")]
        if self.elsewhere(call):
            await self._wait_for_kernel(tool, call)
            return await self._changes(call, before)
        executing = Status(status="running", reason="executing", turn=call.turn)
        await self.journal.append(executing, *([] if started else [self.start_event(call)]))
        events = await self._run(call)
        for event in events:
            if isinstance(event, ToolResult):
                self.previews.heard(event, background=bool(call.args.get("background")))
        changes = await self._changes(call, before)
        if tool.prepare is None:
            await self._read_again(changes)
        return [*changes, *events]

    async def _read_again(self, changes: list[Event]) -> None:
        """Notebooks that were changed as files, where a page has them open."""
        for change in changes:
            if not (self.notebooks and isinstance(change, FileChange) and change.path.endswith(".ipynb")):
                continue
            if self._loads(change):
                continue  # a page that reads it again would load what strangers may want loaded
            with suppress(ToolError):
                await self.notebooks.ask(change.path, self.sandbox.workdir, "reload")

    def _loads(self, change: FileChange) -> bool:
        """Whether it may bring in an address that nobody gave, after text of strangers; a long change is not shown."""
        events = self.journal.session_events()
        added = "\n".join(line[1:] for line in change.diff.splitlines() if line.startswith("+"))
        return bool(foreign.care(events).newest(ever=True)) and (
            not change.diff or bool(foreign.made_up(events, added))
        )

    async def _wait_for_kernel(self, tool: Tool, call: ToolCall) -> None:
        """The notebook's kernel appends the call's start and its result; until one is attached, it waits."""
        if problem := invalid(tool, call.args):
            await self.journal.append(error_result(call, problem))
            return
        await self.journal.append(Status(status="waiting", reason="kernel", turn=call.turn))
        await self.journal.wait_for(lambda: self.journal.state.calls[call.id].result is not None)
        await self.journal.append(Status(status="running", reason="executing", turn=call.turn))

    async def _run(self, call: ToolCall) -> list[Event]:
        since = time.monotonic()
        output = await run_tool(self.tools, call.tool, call.args, self._context(call))
        if not output.foreign and (source := self._source(call, output)):
            output = marked(output, source)
        extra = [event.model_copy(update={"turn": call.turn}) for event in output.events]
        return [*extra, result_event(call, output, round((time.monotonic() - since) * 1000))]

    def _source(self, call: ToolCall, output: ToolOutput) -> str:
        """Whose text came in by the way: from hosts the call reached, or from files it looked into."""
        tool = self.tools.get(call.tool)
        if self.heard and tool is not None and tool.access == "sandbox":
            return ", ".join(sorted(self.heard))
        return foreign.file_source(self._known_files(), call.args, output.content)

    def _known_files(self) -> dict[str, str]:
        stored = self.journal.events
        for event in [*(self.journal.earlier if not self._read else []), *stored[self._read :]]:
            self._files.add(event)
        self._read = len(stored)
        for event in self.journal.held():
            self._files.add(event)
        return self._files.found

    def _context(self, call: ToolCall) -> ToolContext:
        async def ask(*, scope: str, what: str, reason: str) -> bool:
            if self.permissions.permission == "bypass" or self.permissions.allowed(scope):
                return True
            request = ApprovalRequest(
                id=f"{call.id}:{scope}",
                call_id=call.id,
                tool=call.tool,
                what=what,
                reason=reason,
                scope=scope,
                turn=call.turn,
            )
            return (await self.permissions.ask(request)).decision != "deny"

        def emit(text: str) -> None:
            self.journal.publish(Delta(kind="output", id=call.id, text=text, turn=call.turn))

        return ToolContext(
            run_id=self.journal.run_id,
            call_id=call.id,
            sandbox=self.sandbox,
            emit=emit,
            ask=ask,
            state=self.state,
            kernel=None if isinstance(self.kernel, AttachedKernel) else self.kernel,
            network=self._network(call),
            notebooks=self.notebooks,
            turn=lambda: self._desktop_turn(call),
        )

    async def _desktop_turn(self, call: ToolCall) -> str:
        """Until no person has mouse and keyboard; what the model should know of it. Raises ToolError when they keep
        them."""
        state = self.journal.state
        if state.person_acts:
            await self.journal.append(Status(status="waiting", reason="desktop", turn=call.turn))
            try:
                async with asyncio.timeout(HANDOVER_TIMEOUT):
                    await self.journal.wait_for(lambda: not state.person_acts)
            except TimeoutError:
                raise ToolError(
                    "The person has taken the desktop over and has not handed it back.",
                    hint="Go on with something else, or end your turn and say what you wait for.",
                ) from None
            finally:
                if state.control != "cancel":
                    await self.journal.append(Status(status="running", reason="executing", turn=call.turn))
        if state.handovers == self._handovers:
            return ""
        self._handovers = state.handovers
        return "The person has used the desktop meanwhile: look at what is there now."

    def _network(self, call: ToolCall) -> NetworkPolicy:
        """The sandbox's policy, with questions that name this call."""
        ask = self.network.ask and network_asker(self.permissions, call)
        return replace(self.network, ask=ask)

    async def _changes(self, call: ToolCall, before: str) -> list[Event]:
        try:
            after = await self.sandbox.snapshot()
            changes = await self.sandbox.diff(before, after)
        except SandboxError as error:
            return [Error(kind="snapshot", message=f"Changes of this call are not known: {error}")]
        return [
            FileChange(
                path=change.path,
                action=change.action,
                diff=change.diff,
                added=change.added,
                removed=change.removed,
                binary=change.binary,
                note=change.note,
                before=before,
                after=after,
                call_id=call.id,
                turn=call.turn,
            )
            for change in changes
        ]


def result_event(call: ToolCall, output: ToolOutput, duration_ms: int) -> ToolResult:
    return ToolResult(
        id=call.id,
        content=output.content,
        is_error=output.is_error,
        duration_ms=duration_ms,
        truncated_bytes=output.truncated_bytes,
        output_path=output.output_path,
        outputs=output.outputs,
        foreign=output.foreign,
        turn=call.turn,
    )
