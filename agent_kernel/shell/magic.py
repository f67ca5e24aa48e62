"""`%agent` and `%%agent`: registering them costs next to nothing, everything else comes with first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_kernel.shell.cell import Prompter

NAME = "agent"


def load(ip: Any) -> None:
    """Register the magic and its completions with an IPython shell. Loading twice is loading once."""
    from agent_kernel.shell.complete import matcher
    from agent_kernel.shell.question import Question

    def agent(line: str, cell: str | None = None) -> Any:
        """Ask the agent to do something. `%agent --help` shows the options."""
        return _agent(ip, line, cell)

    # IPython would expand {…} and $… in the line by itself: with errors of its own, and without limits.
    agent._ipython_magic_no_var_expand = True  # type: ignore[attr-defined]
    ip.register_magic_function(agent, "line_cell", NAME)
    if matcher not in ip.Completer.custom_matchers:
        ip.Completer.custom_matchers.append(matcher)
    if Question not in ip.input_transformer_manager.token_transformers:
        ip.input_transformer_manager.token_transformers.append(Question)


def unload(ip: Any) -> None:
    from agent_kernel.shell.complete import matcher
    from agent_kernel.shell.question import Question

    for kind in ("line", "cell"):
        ip.magics_manager.magics[kind].pop(NAME, None)
    if matcher in ip.Completer.custom_matchers:
        ip.Completer.custom_matchers.remove(matcher)
    if Question in ip.input_transformer_manager.token_transformers:
        ip.input_transformer_manager.token_transformers.remove(Question)


def prompter(ip: Any) -> Prompter:
    """The shell's prompter; a forked child gets one of its own, for threads do not survive a fork."""
    from agent_kernel.shell.cell import Prompter

    found = getattr(ip, "_agent_prompter", None)
    if found is None or not found.bridge.alive:
        found = ip._agent_prompter = Prompter.open(ip)
    return found


def _agent(ip: Any, line: str, cell: str | None) -> Any:
    """Parse, run, and end with one line where the mistake is not in our own code."""
    from agent_kernel.errors import AgentKernelError
    from agent_kernel.shell.cellrun import AgentFailed, QuietError
    from agent_kernel.shell.options import parse

    try:
        options, rest = parse(line)
        text = rest if cell is None else f"{rest}\n{cell}".strip("\n")
        return prompter(ip).run(text, options)
    except QuietError:
        raise
    except AgentKernelError as error:
        raise AgentFailed(error.message, hint=error.hint) from error
