"""`python -P -m agent_kernel.shell -f FILE` is the agent kernel: what the kernelspec `agent` starts.

`-P` keeps a folder of the workspace that is called as one of our libraries from being run in its stead.
"""

from __future__ import annotations

import os
import sys

from ipykernel.kernelapp import IPKernelApp

from agent_kernel.shell.kernel import AgentKernel

if sys.flags.safe_path and not os.environ.get("PYTHONSAFEPATH"):
    sys.path.insert(0, "")  # the person's own modules, as in every notebook
IPKernelApp.launch_instance(kernel_class=AgentKernel)
