"""The part of the system prompt that says which skills there are, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent_kernel.skills.skill import Skill

MOST_TOKENS = 4_000
"""What names and descriptions may take of every request."""
INTRODUCTION = """\
Skills
Instructions for kinds of work, kept by the person. When one fits the task, call `skill` with its name before \
you begin, and follow what it says."""
_MORE = (
    "\n- … and {count} more: call `skill` with a few words for what you need, and it names those that fit."
)
_NEAREST = ("workspace", "user", "bundled")


def tokens(text: str) -> int:
    """An estimate that is rather too high: models take three to four bytes for a token."""
    return -(-len(text.encode()) // 3)


def catalogue(skills: Sequence[Skill], most: int = MOST_TOKENS) -> str:
    """Names and descriptions in at most `most` tokens; the same skills give the same bytes.

    Where they do not fit, all descriptions are cut to one length; where not even names do, those of the
    workspace come first and the others are only counted.
    """
    listed = [skill for skill in skills if skill.listed]
    chosen = sorted(listed, key=lambda skill: (_NEAREST.index(skill.scope), skill.name))
    if not chosen:
        return ""
    longest = max(len(skill.description) for skill in chosen)
    if _fits(chosen, longest, 0, most):
        return _text(chosen, longest, 0)
    if _fits(chosen, 0, 0, most):
        return _text(chosen, _most(lambda length: _fits(chosen, length, 0, most), longest), 0)
    kept = _most(lambda count: _fits(chosen[:count], 0, len(chosen), most), len(chosen))
    return _text(chosen[:kept], 0, len(chosen) - kept)


def _most(fits: Callable[[int], bool], limit: int) -> int:
    """The largest number up to `limit` that fits; 0 when none does."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _fits(skills: Sequence[Skill], length: int, more: int, most: int) -> bool:
    return tokens(_text(skills, length, more)) <= most


def _text(skills: Sequence[Skill], length: int, more: int) -> str:
    lines = [f"- `{skill.name}`{_about(skill.description, length)}" for skill in skills]
    return "\n".join([INTRODUCTION, *lines]) + (_MORE.format(count=more) if more else "")


def _about(description: str, length: int) -> str:
    if len(description) <= length:
        return f": {description}"
    return f": {description[: length - 1].rstrip()}…" if length > 20 else ""


def length_in(system: str) -> int:
    """Characters of a system prompt that tell of skills."""
    _, begins, rest = system.partition(INTRODUCTION)
    return len(begins) + len(rest.partition("\n\n")[0]) if begins else 0
