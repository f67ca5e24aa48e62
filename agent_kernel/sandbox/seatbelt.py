"""macOS: the profile for `sandbox-exec`. Reads are allowed but for people's own folders; writes only where named;
there is no network, and of the system's services only what starting a program needs."""

from __future__ import annotations

from collections.abc import Sequence

_BASE = """\
(version 1)
(deny default)
(allow process-fork)
(allow process-exec)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow ipc-posix-sem)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
(allow mach-lookup (global-name "com.apple.system.notification_center"))
(allow mach-lookup (global-name "com.apple.logd"))
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
