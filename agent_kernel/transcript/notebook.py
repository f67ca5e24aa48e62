"""A notebook of its own: prompts and answers as text, `python` calls as cells with their real outputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent_kernel._version import __version__
from agent_kernel.transcript import markdown
from agent_kernel.transcript.safe import RASTER, capped, table_html, visible
from agent_kernel.transcript.story import Card, Note, Piece, Problem, Said, Story, Thinking

if TYPE_CHECKING:
    from nbformat import NotebookNode

MOST_TEXT = 100_000
RUNNABLE = ("python", "notebook_python")
_ABSOLUTE = re.compile(r"(?P<quote>['\"])/workspace(?:/(?P<rest>[^'\"\n]*))?(?P=quote)")
HOW_TO_RUN = (
    "*This notebook was written by agent-kernel. Run it from the top, in the folder the agent worked in: paths "
    "are relative to it.*"
)


def build(stories: Sequence[Story]) -> NotebookNode:
    from nbformat import v4, validate

    notebook = v4.new_notebook(metadata=metadata(stories[-1].run_id if stories else ""))
    cells: list[Any] = [_text(HOW_TO_RUN)]
    for story in stories:
        cells += _cells(story)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook.cells = cells
    validate(notebook)
    return notebook


def metadata(run_id: str) -> dict[str, Any]:
    return {
        "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"},
        "language_info": {"name": "python"},
        "agent_kernel": {"run_id": run_id, "version": __version__},
    }


def _cells(story: Story) -> list[Any]:
    cells: list[Any] = []
    first = True
    for item in story.items:
        match item:
            case Said():
                cells.append(_text(markdown.said(item)))
                if first and item.role == "user" and story.plan:
                    cells.append(_text(markdown.plan(story)))
                first = first and item.role != "user"
            case Card() if item.call.tool in RUNNABLE and item.code.strip():
                cells.append(_code(item))
                cells += [_text(markdown.diff(c.path, c.diff, c.note)) for c in item.changes]
            case Card():
                cells.append(_text(markdown.card(item)))
            case Thinking() | Problem() | Note():
                cells.append(_text(markdown.part(item)))
    cells.append(_text(markdown.footer(story)))
    return cells


def _text(source: str) -> Any:
    from nbformat import v4

    return v4.new_markdown_cell(source)


def _code(card: Card) -> Any:
    from nbformat import v4

    failed = card.result is None or card.result.is_error
    tags = {"tags": ["raises-exception"]} if failed else {}
    return v4.new_code_cell(portable(visible(card.code)), metadata=tags, outputs=outputs(card))


def outputs(card: Card) -> list[Any]:
    """What a call printed, showed and drew, as outputs of a cell."""
    return [output for piece in card.pieces for output in _output(piece)]


def portable(code: str) -> str:
    """The sandbox's `/workspace` is the notebook's folder: strings that name it become relative paths."""
    return _ABSOLUTE.sub(lambda found: f"{found['quote']}{found['rest'] or '.'}{found['quote']}", code)


def _output(piece: Piece) -> list[Any]:
    from nbformat import v4

    text = capped(visible(piece.text), MOST_TEXT)
    if piece.picture is not None:
        if piece.picture.media in RASTER:
            data = {piece.picture.media: "".join(piece.picture.data.split()), "text/plain": text or "<chart>"}
            return [v4.new_output("display_data", data=data)]
        return [v4.new_output("display_data", data={"text/plain": text or "<chart>"})]
    if not text.strip():
        return []
    if piece.kind in ("stdout", "stderr"):
        return [v4.new_output("stream", name=piece.kind, text=text)]
    if piece.kind == "error":
        last = text.strip().splitlines()[-1]
        name, _, value = last.partition(": ")
        return [v4.new_output("error", ename=piece.name or name, evalue=value, traceback=text.splitlines())]
    data = {"text/plain": text}
    if table := table_html(piece.html):
        data["text/html"] = table
    if piece.kind == "result":
        return [v4.new_output("execute_result", data=data, execution_count=None)]
    return [v4.new_output("display_data" if piece.kind == "display" else "stream", **(
        {"data": data} if piece.kind == "display" else {"name": "stdout", "text": text}))]  # fmt: skip
