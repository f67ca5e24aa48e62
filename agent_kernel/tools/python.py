"""`python`: a persistent Python in the sandbox. Variables stay; values, figures and errors come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from agent_kernel.errors import SandboxError
from agent_kernel.events import CodeGeneration, Json, Output
from agent_kernel.sandbox.base import Sandbox
from agent_kernel.sandbox.driven import Driven
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.images import image_block
from agent_kernel.tools.output import cap, plain

DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 120, 600
INTERRUPT_TIMEOUT = 3.0
MOST_OUTPUTS = 120
MOST_LIVE = 200_000
LOST = "(The Python session was started anew: variables of earlier calls are gone.)"
RICH = ("text/html", "image/svg+xml")


class PythonSession(Driven):
    """One running interpreter of a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        source = Path(__file__).with_name("python_driver.py").read_text(encoding="utf-8")
        super().__init__(sandbox, "Python", source)

    async def execute(self, code: str, timeout: float) -> AsyncIterator[Json]:
        """Frames until the code is done. Raises TimeoutError after the code was interrupted (or killed)."""
        await self.send({"code": code})
        done = False
        try:
            async with asyncio.timeout(timeout):
                while not done:
                    frame = await self.frames.get()
                    if frame is None or frame["kind"] == "done":
                        done = True
                    elif frame["kind"] == "begun":
                        continue
                    yield frame if frame is not None else {"kind": "died", "reason": self.ended}
        finally:
            if not done and self.alive:
                await asyncio.shield(self._interrupt())

    async def _interrupt(self) -> None:
        """SIGINT first: then the variables survive. What came before the code had begun was not for it: once more."""
        await self._signal()
        try:
            async with asyncio.timeout(INTERRUPT_TIMEOUT):
                while (frame := await self.frames.get()) is not None and frame["kind"] != "done":
                    if frame["kind"] == "begun":
                        await self._signal()
        except TimeoutError:
            await self.close()

    async def _signal(self) -> None:
        with contextlib.suppress(SandboxError):
            await self.sandbox.interrupt(self.job)


async def run(args: Json, context: ToolContext) -> ToolOutput:
    code, timeout = args["code"], context.seconds(args.get("timeout", DEFAULT_TIMEOUT))
    lock = context.state.setdefault("python-lock", asyncio.Lock())
    async with lock:
        session, lost = await _session(context)
        result = _Result(context)
        try:
            async with contextlib.aclosing(session.execute(code, timeout)) as frames:  # type: ignore[type-var]
                async for frame in frames:
                    result.take(frame)
        except TimeoutError:
            kept = (
                "Its variables are kept." if session.alive else "It had to be killed: its variables are gone."
            )
            result.fail(
                f"Interrupted after {timeout:g} s. {kept} Work in smaller steps, or give a longer timeout."
            )
        output = await result.output(LOST if lost else "")
    output.events.append(CodeGeneration(language="python", code=code, call_id=context.call_id))
    return output


async def _session(context: ToolContext) -> tuple[PythonSession, bool]:
    """The running interpreter, or a new one; True when an earlier one is gone."""
    found: PythonSession | None = context.state.get("python")
    if found is not None and found.alive:
        return found, False
    context.state["python"] = session = PythonSession(context.sandbox)
    try:
        await session.start()
    except BaseException:
        context.state.pop("python", None)
        await asyncio.shield(session.close())
        raise
    return session, found is not None


class _Result:
    """Frames of one call become content blocks: text that stands together is one block."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._blocks: list[tuple[str, str, dict[str, str]]] = []
        self._dropped = 0
        self._live = 0
        self._failed = False

    def take(self, frame: Json) -> None:
        match frame["kind"]:
            case "stdout" | "stderr" as kind:
                self._text(kind, frame["text"])
                if self._live < MOST_LIVE:
                    self._context.emit(frame["text"][: MOST_LIVE - self._live])
                    self._live += len(frame["text"])
            case "result" | "display" as kind:
                self._blocks.append((kind, "", frame["data"]))
            case "error":
                self.fail(frame["text"], name=frame["name"])
            case "done":
                self._dropped = frame["dropped"]
            case "died":
                self.fail(
                    f"Python ended ({frame['reason']}). The next call starts a new one, without variables."
                )

    def fail(self, text: str, name: str = "") -> None:
        self._failed = True
        self._blocks.append(("error", text, {"name": name} if name else {}))

    def _text(self, kind: str, text: str) -> None:
        """Added to the stream's last block, unless something was shown since: the two streams come through two
        pipes, so that their order among each other says nothing."""
        for at in range(len(self._blocks) - 1, -1, -1):
            if self._blocks[at][0] not in ("stdout", "stderr"):
                break
            if self._blocks[at][0] == kind:
                self._blocks[at] = (kind, self._blocks[at][1] + text, {})
                return
        self._blocks.append((kind, text, {}))

    async def output(self, note: str) -> ToolOutput:
        content: list[Json] = [{"type": "text", "text": note}] if note else []
        outputs: list[Output] = []
        room, left_out, whole = self._context.max_output, self._dropped, []
        for kind, text, data in self._blocks[:MOST_OUTPUTS]:
            block, rich = self._block(kind, text, data)
            if block["type"] == "text":
                whole.append(block["text"])
                shown, cut = cap(block["text"], max(500, room), self._path(), whole=not self._dropped)
                block, room, left_out = {"type": "text", "text": shown}, room - len(shown), left_out + cut
            outputs.append(Output(block=len(content), kind=kind, data=rich))  # type: ignore[arg-type]
            content.append(block)
        if not content:
            content = [{"type": "text", "text": "(no output)"}]
        if left_out:
            await self._context.sandbox.write(self._path(), "\n".join(whole).encode("utf-8", "replace"))
        return ToolOutput(
            content=content,
            is_error=self._failed,
            outputs=outputs,
            truncated_bytes=left_out,
            output_path=self._path() if left_out else None,
        )

    def _path(self) -> str:
        return self._context.output_file()

    @staticmethod
    def _block(kind: str, text: str, data: dict[str, str]) -> tuple[Json, dict[str, str]]:
        if kind in ("stdout", "stderr", "error"):
            return {"type": "text", "text": plain(text) or " "}, data
        rich = {mime: data[mime] for mime in RICH if mime in data}
        if "image/png" in data and (image := image_block(data["image/png"])):
            return image, rich
        words = plain(data.get("text/plain", "")) or "(nothing to show)"
        if "image/svg+xml" in rich:
            words += "\n(The person sees it as an SVG image.)"
        return {"type": "text", "text": words}, rich


PYTHON = Tool(
    name="python",
    description=(
        "Run Python in the sandbox, in the notebook's folder, with the person's packages. Variables stay between "
        "calls. The value of the last expression, printed text and matplotlib figures come back (figures as "
        "images; do not call show). Top-level await works. Never print whole data sets."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "code": {"type": "string", "minLength": 1},
            "timeout": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": LONGEST_TIMEOUT,
                "description": f"Seconds before it is interrupted (default {DEFAULT_TIMEOUT}).",
            },
        },
        "required": ["code"],
        "additionalProperties": False,
    },
    access="sandbox",
    run=run,
    describe=lambda args: str(args.get("code", "")),
    summary="Run Python",
)
