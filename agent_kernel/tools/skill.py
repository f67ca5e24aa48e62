"""`skill`: the instructions of a skill, and its files where the sandbox can read, run and edit them.

The files go into the session's own folder, never into the workspace. What the agent changed there stays, until
the skill itself changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from agent_kernel.errors import SandboxError, ToolError
from agent_kernel.events import Json
from agent_kernel.skills.contents import Packed, pack
from agent_kernel.skills.library import Library, near_names
from agent_kernel.skills.skill import Skill, slug
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.output import cap, plain

MOST_SHOWN = 60
COPY_TIMEOUT = 60.0
_COPY = """\
set -e
rm -rf "$1.new" "$1.old"
mkdir -p "$1.new"
tar -xof - -C "$1.new"
if [ -e "$1" ]; then mv "$1" "$1.old"; fi
mv "$1.new" "$1"
printf %s "$2" > "$1.digest"
"""


def skill_tool(library: Library) -> Tool:
    """The tool for the skills that are on in this library."""
    skills = {skill.name: skill for skill in library.on}
    digests = library.digests

    async def run(args: Json, context: ToolContext) -> ToolOutput:
        skill = _named(args["name"], skills)
        packed = await asyncio.to_thread(pack, skill.folder)
        if skill.scope == "workspace" and packed.digest != digests.get(skill.name):
            raise ToolError(
                f"The skill {skill.name} has changed since the person trusted it.",
                hint="Go on without it, or have it trusted again.",
            )
        body = await asyncio.to_thread(skill.body)
        folder = f"{context.sandbox.session}/skills/{skill.name}"
        body = plain(body).replace("${CLAUDE_SKILL_DIR}", folder)
        kept = ""
        if len(packed.files) > 1 or len(body) > context.max_output:
            kept = await _provided(packed, folder, context)
        shown, left_out = cap(body, context.max_output, f"{folder}/SKILL.md" if kept else "")
        text = f"# Skill {skill.name}\n\n{kept}{shown}"
        return ToolOutput.text(text, truncated_bytes=left_out)

    return Tool(
        name="skill",
        description=(
            "Get the instructions of a skill listed under Skills, by its name, and its files (scripts, examples) "
            "in a folder of this session: read them with `read_file`, run scripts with `bash`, change them there. "
            "Call it before you begin work that a skill is for. Its instructions were chosen by the person."
        ),
        input_schema={
            "type": "object",
            "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 200}},
            "required": ["name"],
            "additionalProperties": False,
        },
        access="read",
        run=run,
        describe=lambda args: f"Use the skill {args.get('name')}",
        summary="Use a skill",
    )


def _named(name: str, skills: Mapping[str, Skill]) -> Skill:
    skill = skills.get(slug(name))
    if skill is None:
        near = near_names(name, skills.values())
        known = "; ".join(f"`{found}`: {skills[found].description[:160]}" for found in near)
        raise ToolError(f"There is no skill {name!r}.", hint=f"These come near: {known}" if known else "")
    return skill


async def _provided(packed: Packed, folder: str, context: ToolContext) -> str:
    """Have the files in `folder`; what to tell the model about them."""
    lock: asyncio.Lock = context.state.setdefault("skills", asyncio.Lock())
    try:
        async with lock:
            changed = await _copy(packed, folder, context)
    except SandboxError as error:
        return f"(Its files are not at hand: {error})\n\n"
    names = [file.path for file, _ in packed.files if file.path != "SKILL.md"]
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    text = f"Its folder is `{folder}`; paths below are relative to it."
    if names:
        text += f" It holds: {', '.join(f'`{name}`' for name in names[:MOST_SHOWN])}{more}."
    if changed:
        text += (
            f" The skill has changed since it was last used here; what was there before is in `{folder}.old`."
        )
    return text + "\n\n"


async def _copy(packed: Packed, folder: str, context: ToolContext) -> bool:
    """Copy the files unless these very ones are there (and maybe edited); True when others had to give way."""
    try:
        known = (await context.sandbox.read(f"{folder}.digest", limit=100)).decode("ascii", "replace")
    except SandboxError:
        known = ""
    if known == packed.digest:
        return False
    data = await asyncio.to_thread(packed.tar)
    done = await context.sandbox.exec(
        ["/bin/sh", "-c", _COPY, "copy", folder, packed.digest], stdin=data, timeout=COPY_TIMEOUT
    )
    if done.exit_code:
        raise SandboxError(
            f"they could not be copied: {(done.error or done.stderr or 'it took too long')[:300]}."
        )
    return bool(known)
