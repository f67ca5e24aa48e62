"""Skills: folders with a `SKILL.md` that tell the model how a kind of work is done (see docs/skills.md)."""

from __future__ import annotations

from agent_kernel.skills.catalogue import catalogue
from agent_kernel.skills.library import Entry, Library, open_library
from agent_kernel.skills.skill import Skill, examine, read_skill
from agent_kernel.skills.trust import Trust

__all__ = ["Entry", "Library", "Skill", "Trust", "catalogue", "examine", "open_library", "read_skill"]
