"""Which folders of the host the sandbox sees for Python, and the environment of its processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent_kernel.errors import SandboxUnavailable

WORKSPACE, SESSION, HOME = "/workspace", "/session", "/home/agent"
_ASK = (
    "import json, os, sys; print(json.dumps([sys.prefix, sys.base_prefix, "
    "os.path.realpath(sys.executable), '%d.%d' % sys.version_info[:2]]))"
)


@dataclass(frozen=True, slots=True)
class PythonTree:
    """The Python of a person's environment: its folders, shown read-only at their own paths."""

    prefix: str
    base_prefix: str
    executable: str
    version: str

    def folders(self) -> list[str]:
        """What has to be shown besides `/usr`, outermost first."""
        wanted = {
            os.path.realpath(self.prefix),
            self.prefix,
            self.base_prefix,
            str(Path(self.executable).parents[1]),
        }
        outside = [folder for folder in sorted(wanted, key=len) if not _under(folder, "/usr")]
        return [
            folder
            for folder in outside
            if folder != "/" and not any(_under(folder, other) for other in outside if other != folder)
        ]


def _under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


@cache
def python_tree(executable: str | None = None) -> PythonTree:
    """The environment of `executable`, or of this process."""
    if executable is None or executable == sys.executable:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return PythonTree(sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), version)
    try:
        done = subprocess.run([executable, "-I", "-c", _ASK], capture_output=True, check=True, timeout=30)
        return PythonTree(*json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise SandboxUnavailable(f"{executable} is not a Python that runs: {error}.") from error


def environment(tree: PythonTree, proxy_port: int, extra: dict[str, str] | None = None) -> dict[str, str]:
    """What processes inside find. Nothing of the host's own environment is in it."""
    proxy = f"http://127.0.0.1:{proxy_port}"
    path = [f"{SESSION}/python/bin", f"{tree.prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": ":".join(dict.fromkeys(path)),
        "HOME": HOME,
        "USER": "agent",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "TMPDIR": "/tmp",  # noqa: S108
        "PYTHONPATH": f"{SESSION}/python",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_TARGET": f"{SESSION}/python",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_CACHE_DIR": f"{SESSION}/cache/pip",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": f"{SESSION}/cache/matplotlib",
        "GIT_TERMINAL_PROMPT": "0",
        "http_proxy": proxy,
        "https_proxy": proxy,
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "no_proxy": "localhost,127.0.0.1,::1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
        **(extra or {}),
    }
