"""`python -m agent_kernel` is the command line."""

from agent_kernel.cli import main

main(prog_name="agent-kernel")
