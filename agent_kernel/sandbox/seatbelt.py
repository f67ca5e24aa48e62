"""macOS: the profile for `sandbox-exec`. Reads are allowed but for people's own folders; writes only where named;
there is no network."""

from __future__ import annotations

from collections.abc import Sequence

_BASE = """\
(version 1)
(deny default)
(allow process-fork process-exec signal (target same-sandbox))
(allow sysctl-read mach-lookup ipc-posix-sem ipc-posix-shm)
(allow file-read*)
(deny file-read* (subpath "/Users") (subpath "/private/var/root") (subpath "/Volumes"))
(allow file-write-data (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))
"""


def profile(writable: Sequence[str], readable: Sequence[str] = ()) -> str:
    """The profile's text. Paths are quoted: a folder's name must not become a rule."""
    reads = "".join(f"(allow file-read* (subpath {_quoted(path)}))\n" for path in (*readable, *writable))
    writes = "".join(f"(allow file-write* (subpath {_quoted(path)}))\n" for path in writable)
    return _BASE + reads + writes


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
