"""The offline demo: a scripted analyst behind the Messages API. No AI.

It keeps no state: each answer follows from the messages of the request, above all from the tool results in it.
The figures it states were computed by the programs in `analyst/`, which run in the sandbox.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent_kernel.events import Json, Message
from agent_kernel.mentions import named, typed
from agent_kernel.testing.analyst import program
from agent_kernel.testing.report import answer, next_questions, report
from agent_kernel.testing.script import Text, Thinking, ToolUse, Turn

LABEL = "offline demo, no AI"
MOST_FAILURES = 2
ABOUT = (
    f"This is the {LABEL}: a script that plans, profiles a CSV file, draws a chart and writes a report, with "
    "figures it really computes. It understands nothing else.\n\n"
    "Name a CSV file of this folder, as in *Analyse data/sales.csv and chart it*, or a DataFrame of this notebook, as "
    "in *Analyse @sales*. For anything else choose a "
    "model: set `ANTHROPIC_API_KEY`, or `ANTHROPIC_BASE_URL` for a compatible endpoint, and leave out "
    "`--model demo`."
)
STEPS = ("Profile the file", "Draw a chart that fits its columns", "Write a report")
_PATH = re.compile(r"[^\s'\"`<>|,;()]+\.(?:csv|tsv)\b", re.IGNORECASE)
_QUOTED = re.compile(r"['\"`]([^'\"`\n]+\.(?:csv|tsv))['\"`]", re.IGNORECASE)
_WRITTEN = re.compile(r"^Written: (\S+) \(")
_AS = re.compile(r"\b(?:as|into|called|named)\s+`([A-Za-z]\w*)`")
LONGEST = 600
"""Seconds for a file of a gigabyte."""
_ABOUT_DATA = re.compile(
    r"\b(analy[sz]\w*|chart|plot|graph|profile|csv|data\w*|report|summar\w*|explore|look)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Step:
    """A call the demo made since the last prompt, and what came of it."""

    tool: str
    args: Json
    result: str
    failed: bool


class Demo:
    """`answer(body)` is the `default` of a `ScriptedMessages`."""

    def answer(self, body: Json) -> Turn:
        prompt, steps = read(body["messages"])
        work = [step for step in steps if step.tool != "todo"]
        failures = [step for step in work if step.failed]
        if len(failures) > MOST_FAILURES or (failures and failures[-1] is work[-1] and _stuck(failures)):
            return self._give_up(failures[-1])
        if not steps:
            return self._begin(prompt)
        profiled = _said(work, "PROFILE")
        if profiled is None:
            return self._profile(prompt, work)
        if "error" in profiled:
            return [Text(_not_found(profiled))]
        return self._go_on(profiled, work, left_as(prompt, body))

    @staticmethod
    def _profile(prompt: str, work: Sequence[Step]) -> Turn:
        frame = named_frame(prompt)
        handed = next((step for step in work if step.tool == "notebook_export"), None)
        if frame and handed is None:
            return [ToolUse("notebook_export", {"name": frame})]
        path = _WRITTEN.search(handed.result) if handed else None
        code = profile_code(prompt, path[1]) if path else profile_code(prompt)
        return [ToolUse("python", {"code": code, "timeout": LONGEST})]

    def _begin(self, prompt: str) -> Turn:
        if not (_PATH.search(prompt) or _ABOUT_DATA.search(prompt) or named_frame(prompt)):
            return [Text(ABOUT)]
        named = [*filter(None, [named_frame(prompt)]), *wanted(prompt)]
        which = f"`{named[0]}`" if named else "the CSV file of this folder"
        return [
            Thinking(
                "I am a script, not a model: the plan is always the same. First the file has to be read: its size, "
                "its columns and what is missing. Which chart fits depends on that."
            ),
            Text(f"I profile {which} first, then chart it and write a report."),
            plan(0),
        ]

    def _go_on(self, profiled: Json, work: Sequence[Step], variable: str) -> Turn:
        drawn = _said(work, "CHART")
        spec = chart(profiled)
        if drawn is None and spec is not None and not _tried(work, "# Draw"):
            return [
                Thinking(_why(spec)),
                plan(1),
                ToolUse("python", {"code": draw_code(spec), "timeout": LONGEST}),
            ]
        written = any(step.tool == "write_file" for step in work)
        drawn = drawn if drawn and "error" not in drawn else None
        path = profiled["report"]
        if not written:
            text = report(profiled, spec, drawn, LABEL)
            return [plan(2), ToolUse("write_file", {"path": path, "content": text})]
        if not any(step.tool == "edit_file" for step in work):
            change = {
                "path": path,
                "old_string": "## Method\n",
                "new_string": f"{next_questions(profiled)}## Method\n",
            }
            return [ToolUse("edit_file", change), plan(3)]
        if variable and not any(step.tool == "notebook_import" for step in work):
            return self._leave(variable, work)
        left = f"\n\n`{variable}` in your notebook is the table of the columns." if variable else ""
        return [Text(f"{answer(profiled, drawn, LABEL)}{left}")]

    @staticmethod
    def _leave(variable: str, work: Sequence[Step]) -> Turn:
        path = f"{variable}.parquet"
        if not _tried(work, "# Write the table"):
            code = f'# Write the table of the columns\nfigures(found).to_parquet("{path}")'
            return [ToolUse("python", {"code": code})]
        return [ToolUse("notebook_import", {"path": path, "name": variable})]

    @staticmethod
    def _give_up(step: Step) -> Turn:
        last = (step.result.strip().splitlines() or ["no reason given"])[-1]
        return [
            Text(
                f"I stop here: `{step.tool}` did not work.\n\n> {last[:400]}\n\nNothing was concluded from it. "
                f"(This is the {LABEL}; it does not find ways around.)"
            )
        ]


def plan(done: int) -> ToolUse:
    """The checklist with `done` steps done and the next one under way."""
    states = ["completed"] * done + ["in_progress"] + ["pending"] * len(STEPS)
    items = [{"text": text, "status": state} for text, state in zip(STEPS, states, strict=False)]
    return ToolUse("todo", {"items": items})


# -- reading the request -----------------------------------------------------------------------------------


def read(messages: Sequence[Json]) -> tuple[str, list[Step]]:
    """The last prompt, and the calls with their results since."""
    prompt, calls, steps = "", dict[str, Json](), list[Step]()
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] == "assistant":
            calls |= {block["id"]: block for block in blocks if block["type"] == "tool_use"}
            continue
        for block in blocks:
            if block["type"] == "tool_result":
                call = calls.get(block["tool_use_id"], {"name": "", "input": {}})
                steps.append(Step(call["name"], call["input"], _text(block), bool(block.get("is_error"))))
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        if texts and not any(block["type"] == "tool_result" for block in blocks):
            prompt, steps = "\n".join(texts), []
    return prompt, steps


def _text(block: Json) -> str:
    content = block.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def wanted(prompt: str) -> list[str]:
    """Paths of tables the prompt names; quoted ones may hold spaces."""
    found = [*_QUOTED.findall(prompt), *(path.lstrip("@") for path in _PATH.findall(prompt))]
    return list(dict.fromkeys(found))


def named_frame(prompt: str) -> str:
    """The DataFrame the prompt names; empty when it names none."""
    return next(iter(sorted(named([Message(role="user", text=prompt)]))), "")


def left_as(prompt: str, body: Json) -> str:
    """The variable that the person wants the result in, where their kernel can be reached."""
    found = _AS.search(typed(prompt))
    tools = {tool.get("name") for tool in body.get("tools", ())}
    return found[1] if found and "notebook_import" in tools else ""


def _said(work: Sequence[Step], word: str) -> Any:
    """The JSON behind `word` in the newest result that has it."""
    for step in reversed(work):
        for row in step.result.splitlines():
            if row.startswith(f"{word} ") and not step.failed:
                try:
                    return json.loads(row[len(word) + 1 :])
                except ValueError:
                    return None
    return None


def _tried(work: Sequence[Step], start: str) -> bool:
    return any(str(step.args.get("code", "")).startswith(start) for step in work)


def _stuck(failures: Sequence[Step]) -> bool:
    """The same step failed twice, or a person said no."""
    last = failures[-1]
    same = [step for step in failures if step.tool == last.tool and step.args == last.args]
    return len(same) > 1 or "denied" in last.result.lower()


def _not_found(profiled: Json) -> str:
    named = ", ".join(f"`{path}`" for path in profiled.get("wanted", [])) or "a CSV file"
    there = profiled.get("files") or []
    shown = "\n".join(f"- `{path}`" for path in there) or "(there is no CSV file in this folder)"
    why = "" if profiled["error"] == "not found" else f" ({profiled['error']})"
    return f"I cannot read {named}{why}. These files are here:\n\n{shown}\n\nName one of them. ({LABEL})"


# -- the programs -------------------------------------------------------------------------------------------


def profile_code(prompt: str, handed: str = "") -> str:
    """`handed` is the file a DataFrame was handed over as."""
    paths, said = (f"[as_csv({handed!r})]", "") if handed else (repr(wanted(prompt)), typed(prompt)[:2000])
    call = f"found = profile({paths}, {said!r})\nprint(line(found))\ntable(found)"
    title = "Profile the file: rows, columns, types, missing values"
    return program(title, "records", "detect", "profile", call=call)


def draw_code(spec: Json) -> str:
    call = (
        f"said = draw({spec!r})\nprint(said)\n"
        'path = json.loads(said.partition(" ")[2]).get("file", "")\n'
        'if path.endswith(".svg"):\n'
        '    display(type("Chart", (), {"_repr_svg_": lambda self: Path(path).read_text()})())'
    )
    return program(f"Draw a chart: {_words(spec)}", "records", "series", "draw", call=call)


def _words(spec: Json) -> str:
    kinds = {
        "line": "{y} over {x}",
        "means": "{y} by {x}",
        "histogram": "spread of {x}",
        "counts": "values of {x}",
    }
    return " ".join(kinds[spec["kind"]].format(**spec).split())[:100]


def _why(spec: Json) -> str:
    reasons = {
        "line": "There is a column of times and one of numbers: a line shows the course.",
        "means": "There are groups and a number for each row: bars of the groups' means compare them.",
        "histogram": "There are only numbers: a histogram shows how they spread.",
        "counts": "There are only words: counting the most common ones is what can be drawn.",
    }
    return reasons[spec["kind"]]


def chart(profiled: Json) -> Json | None:
    """The chart that fits the columns; None when there is nothing to draw."""
    columns = [column for column in profiled["columns"] if column["distinct"]]
    numbers = [c for c in columns if c["type"] == "number"]
    dates = [c for c in columns if c["type"] == "date"]
    years = [c for c in numbers if "year" in c["name"].lower() and c["min"] >= 1000 and c["max"] <= 2200]
    measures = [c for c in numbers if c not in years and c["name"].lower() not in ("id", "index", "")]
    groups = [
        c for c in columns if c["type"] == "text" and 2 <= c["distinct"] <= max(12, profiled["rows"] // 3)
    ]
    words = [c for c in columns if c["type"] == "text"]
    base = {"source": profiled["source"], "comma": profiled["comma"], "chart": profiled["chart"], "plain": False,
            "form": "", "y": ""}  # fmt: skip
    if dates and measures:
        return {
            **base,
            "kind": "line",
            "x": dates[0]["name"],
            "y": measures[0]["name"],
            "form": dates[0]["form"],
        }
    if years and measures:
        return {**base, "kind": "line", "x": years[0]["name"], "y": measures[0]["name"], "form": "year"}
    if groups and measures:
        return {**base, "kind": "means", "x": groups[0]["name"], "y": measures[0]["name"]}
    if numbers:
        return {**base, "kind": "histogram", "x": (measures or numbers)[0]["name"]}
    if words:
        return {**base, "kind": "counts", "x": (groups or words)[0]["name"]}
    return None
