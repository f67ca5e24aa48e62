"""What the offline demo writes about a profiled file: the report and the answer. Every figure is a computed one."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from agent_kernel.events import Json

MOST_COLUMNS, MOST_SAID, MOST_LOOKED = 12, 6, 1_000_000


def report(profiled: Json, spec: Json | None, drawn: Json | None, label: str) -> str:
    """The Markdown file."""
    name = PurePosixPath(profiled["source"]["path"]).name
    lines = [
        f"# {cell(name)}",
        "",
        f"*Written by the {label}: a script computed these figures.*",
        "",
        f"- **{counted(profiled['rows'], 'row')}, {counted(profiled['width'], 'column')}** "
        f"({counted(profiled['bytes'], 'byte')})",
        f"- {missing(profiled)}",
    ]
    lines += [f"- {said}" for said in troubles(profiled)]
    lines += ["", "## Columns", "", *columns(profiled), ""]
    if drawn:
        lines += ["## Chart", "", f"![{cell(drawn['title'])}]({drawn['file']})", "", course(drawn), ""]
    lines += ["## Method", "", method(profiled), ""]
    return "\n".join(lines)


def answer(profiled: Json, drawn: Json | None, label: str) -> str:
    """The last words of the run."""
    source = profiled["source"]["path"]
    lines = [
        f"**{cell(source)} has {counted(profiled['rows'], 'row')} and {counted(profiled['width'], 'column')}.** "
        f"{missing(profiled)}.",
        "",
    ]
    lines += [f"- {said}" for column in profiled["columns"][:MOST_SAID] if (said := sentence(column))]
    left = profiled["width"] - MOST_SAID
    lines += [f"- … and {counted(left, 'more column')}"] if left > 0 else []
    lines += ["", "To mend:", "", *(f"- {said}" for said in found)] if (found := troubles(profiled)) else []
    if drawn:
        lines += ["", course(drawn)]
    files = [f"`{profiled['report']}`"] + ([f"`{drawn['file']}`"] if drawn else [])
    made = " and ".join(reversed(files))
    nothing = "" if drawn else " There was nothing to draw."
    return "\n".join(
        [*lines, "", f"Files: {made}.{nothing}", "", f"*This was the {label}: a script, not a model.*"]
    )


def next_questions(profiled: Json) -> str:
    """A section to put before the method."""
    questions = []
    gaps = [c["name"] for c in profiled["columns"] if c["missing"]]
    if gaps:
        questions.append(f"Why are values missing in {cell(gaps[0])}, and is it at random?")
    odd = [c["name"] for c in profiled["columns"] if c.get("odd")]
    if odd:
        questions.append(
            f"Some values of {cell(odd[0])} do not fit the others of their column: are they mistakes?"
        )
    numbers = [c["name"] for c in profiled["columns"] if c["type"] == "number"]
    if len(numbers) > 1:
        questions.append(f"How do {cell(numbers[0])} and {cell(numbers[1])} depend on each other?")
    questions.append("Where does the file come from, and what is one row of it?")
    return "\n".join(["## Next questions", "", *(f"- {question}" for question in questions), "", ""])


def columns(profiled: Json) -> list[str]:
    rows = ["| column | type | missing | from | to | middle |", "|---|---|---:|---|---|---|"]
    for column in profiled["columns"][:MOST_COLUMNS]:
        middle = number(column["median"]) if "median" in column else cell(_top(column))
        low, high = number(column.get("min", "")), number(column.get("max", ""))
        rows.append(
            f"| {cell(column['name'])} | {column['type']} | {count(column['missing'])} | {low} | {high} | {middle} |"
        )
    left = profiled["width"] - MOST_COLUMNS
    return [*rows, "", f"… and {counted(left, 'more column')}."] if left > 0 else rows


def sentence(column: Json) -> str:
    """What there is to say of a column; empty when nothing is."""
    name, gaps = (
        f"**{cell(column['name'])}**",
        f", {count(column['missing'])} missing" if column["missing"] else "",
    )
    if column["type"] == "number" and "mean" in column:
        return (
            f"{name}: {number(column['min'])} to {number(column['max'])}, mean {number(column['mean'])}, "
            f"median {number(column['median'])}{gaps}"
        )
    if column["type"] == "date" and "min" in column:
        return f"{name}: {number(column['min'])} to {number(column['max'])}{gaps}"
    if column.get("top"):
        word, times = column["top"][0]
        if column.get("each"):
            return f"{name}: {count(column['distinct'])} different values, each in {count(column['each'])} rows{gaps}"
        different = counted(column["distinct"], "different value")
        return f"{name}: {different}, most often {cell(word)} ({count(times)}×){gaps}"
    return ""


def troubles(profiled: Json) -> list[str]:
    """What stands in the way of computing with the file."""
    found = []
    if profiled["ragged"]:
        found.append(
            f"{counted(profiled['ragged'], 'row has', 'rows have')} more or fewer cells than there are columns"
        )
    if profiled.get("repeated"):
        looked = "" if profiled["rows"] <= MOST_LOOKED else f" (of the first {count(MOST_LOOKED)})"
        found.append(f"{counted(profiled['repeated'], 'row repeats', 'rows repeat')} another one{looked}")
    for column in profiled["columns"]:
        if column.get("odd"):
            kind = "number" if column["type"] == "number" else "date"
            what = cell(column["name"])
            found.append(
                counted(column["odd"], f"value of {what} is no {kind}", f"values of {what} are no {kind}")
            )
        if column.get("spellings"):
            found.append(
                f"{count(column['distinct'])} values of {cell(column['name'])} are "
                f"{count(column['distinct'] - column['spellings'])} when capitals and spaces do not count"
            )
    return found


def missing(profiled: Json) -> str:
    total = sum(column["missing"] for column in profiled["columns"])
    cells = profiled["rows"] * profiled["width"]
    if not total or not cells:
        return "No value is missing"
    verb = "is" if total == 1 else "are"
    return f"{count(total)} of {count(cells)} values {verb} missing ({100 * total / cells:.1f} %)"


def course(drawn: Json) -> str:
    """The chart in words."""
    (first, begin), (last, end) = drawn["first"], drawn["last"]
    (high, most), (low, least) = drawn["highest"], drawn["lowest"]
    what = cell(drawn["ylabel"])
    words = f"Highest {what}: {number(most)} ({cell(high)}); lowest: {number(least)} ({cell(low)})."
    if most == least:
        words = f"No difference in {what}: {number(most)} throughout."
    if "per " in drawn["title"] and first != last:
        return (
            f"From {cell(first)} to {cell(last)}, {what} went from {number(begin)} to {number(end)}. {words}"
        )
    return words


def method(profiled: Json) -> str:
    source = profiled["source"]
    return (
        f"Read as {source['encoding']} with the separator {source['delimiter']!r}, in one pass over all rows. "
        "A column counts as numbers or dates when nine in ten of its values are."
    )


def cell(text: Any) -> str:
    """Somebody else's words within Markdown: no markup of theirs takes effect."""
    flat = " ".join(str(text).split())
    return re.sub(r"[\\`*{}\[\]<>#|~$!]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", flat[:200])


def count(value: float) -> str:
    return f"{value:,.0f}"


def counted(value: int, one: str, more: str = "") -> str:
    return f"{count(value)} {one if value == 1 else more or f'{one}s'}"


def number(value: Any) -> str:
    """Four figures are enough to read; times without their midnight."""
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) >= 10_000 or value == int(value) else f"{value:,.4g}"
    return cell(str(value).removesuffix(" 00:00:00"))


def _top(column: Json) -> str:
    return str(column["top"][0][0]) if column.get("top") else ""
