"""The system-call filter: a deny-list as classic BPF, in pure Python (x86_64 and aarch64).

Namespaces alone leave ways out that were walked in trials: nested user namespaces, mounts, io_uring, AF_VSOCK
(which a network namespace does not cover), and set-uid files in a workspace that the host shares. Memory files
are refused because no limit and no table of processes counts them.

Without namespaces (`strict`, for Landlock) more is shared with the host: its Unix sockets (Docker, D-Bus), its
System V memory, and the modes and owners of files that may only be read. There, sockets and System V objects are
refused, and changes of mode and owner do nothing but succeed: a refusal would stop pip, git and tar.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
X32_BIT = 0x40000000
# Every namespace a clone could open, CLONE_NEWTIME (0x80) included.
NEW_NAMESPACES = 0x7E020000 | 0x80
SET_ID_BITS = 0o6000
CREATES = 0o100 | 0o20000000
"""O_CREAT and O_TMPFILE: with either, `open` takes a mode."""
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
# ioctls that push characters into a terminal: TIOCSTI, TIOCLINUX.
TERMINAL_INJECTION = (0x5412, 0x541C)

_X86_64 = {
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "kexec_load": 246,
    "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "mount": 165,
    "umount2": 166, "pivot_root": 155, "chroot": 161, "move_mount": 429, "open_tree": 428, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "swapon": 167, "swapoff": 168,
    "reboot": 169, "acct": 163, "quotactl": 179, "quotactl_fd": 443, "lookup_dcookie": 212, "syslog": 103,
    "setns": 308, "unshare": 272, "open_by_handle_at": 304, "name_to_handle_at": 303, "iopl": 172,
    "ioperm": 173, "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159,
    "vhangup": 153, "uselib": 134, "ustat": 136, "sysfs": 139, "_sysctl": 156, "nfsservctl": 180,
    "move_pages": 279, "migrate_pages": 256, "mbind": 237, "set_mempolicy": 238, "kcmp": 312,
    "process_madvise": 440, "fanotify_init": 300, "mknod": 133, "mknodat": 259, "sethostname": 170,
    "setdomainname": 171, "lsm_set_self_attr": 460, "open_tree_attr": 467,
    "memfd_secret": 447,
}  # fmt: skip
_X86_64_CHECKED = {
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "creat": 85, "open": 2, "openat": 257,
    "openat2": 437, "clone": 56, "clone3": 435, "socket": 41, "socketpair": 53, "ioctl": 16, "memfd_create": 319,
}  # fmt: skip
_AARCH64 = {
    "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "kexec_load": 104,
    "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106, "mount": 40,
    "umount2": 39, "pivot_root": 41, "chroot": 51, "move_mount": 429, "open_tree": 428, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "swapon": 224, "swapoff": 225,
    "reboot": 142, "acct": 89, "quotactl": 60, "quotactl_fd": 443, "lookup_dcookie": 18, "syslog": 116,
    "setns": 268, "unshare": 97, "open_by_handle_at": 265, "name_to_handle_at": 264, "settimeofday": 170,
    "clock_settime": 112, "clock_adjtime": 266, "adjtimex": 171, "vhangup": 58, "nfsservctl": 42,
    "move_pages": 239, "migrate_pages": 238, "mbind": 235, "set_mempolicy": 237, "kcmp": 272,
    "process_madvise": 440, "fanotify_init": 262, "mknodat": 33, "sethostname": 161, "setdomainname": 162,
    "open_tree_attr": 467, "memfd_secret": 447,
}  # fmt: skip
_AARCH64_CHECKED = {
    "fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "openat": 56, "openat2": 437, "clone": 220, "clone3": 435,
    "socket": 198, "socketpair": 199, "ioctl": 29, "memfd_create": 279,
}  # fmt: skip
# Only in the strict filter: what reaches the host where there are no namespaces.
_X86_64_SHARED = {
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "msgget": 68, "msgsnd": 69,
    "msgrcv": 70, "msgctl": 71, "semtimedop": 220, "mq_open": 240, "mq_unlink": 241, "setxattr": 188,
    "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
    "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
}  # fmt: skip
_X86_64_PRETENDED = {
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93, "lchown": 94,
    "fchownat": 260,
}  # fmt: skip
_AARCH64_SHARED = {
    "mq_open": 180, "mq_unlink": 181, "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "semget": 190,
    "semctl": 191, "semtimedop": 192, "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196, "setxattr": 5,
    "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
    "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
}  # fmt: skip
_AARCH64_PRETENDED = {"fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "fchownat": 54, "fchown": 55}
# (call, argument with the mode, argument with the flags that must hold one of CREATES)
_MODES = (
    ("chmod", 1, None), ("fchmod", 1, None), ("fchmodat", 2, None), ("fchmodat2", 2, None),
    ("creat", 1, None), ("open", 2, 1), ("openat", 3, 2),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    audit: int
    denied: dict[str, int]
    checked: dict[str, int]
    shared: dict[str, int]
    pretended: dict[str, int]
    x32: bool


MACHINES = {
    "x86_64": Machine(0xC000003E, _X86_64, _X86_64_CHECKED, _X86_64_SHARED, _X86_64_PRETENDED, x32=True),
    "aarch64": Machine(
        0xC00000B7, _AARCH64, _AARCH64_CHECKED, _AARCH64_SHARED, _AARCH64_PRETENDED, x32=False
    ),
}


def supported() -> bool:
    return platform.machine() in MACHINES


class _Program:
    """Instructions with jumps counted from the next one, as BPF counts them."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []

    def add(self, operation: int, value: int, yes: int = 0, no: int = 0) -> None:
        self.code.append((operation, yes, no, value & 0xFFFFFFFF))

    def load_argument(self, index: int) -> None:
        self.add(LOAD, ARGUMENTS + 8 * index)

    def refuse(self, number: int) -> None:
        self.add(RETURN, ERRNO | number)

    def bytes(self) -> bytes:
        return b"".join(struct.pack("=HBBI", *instruction) for instruction in self.code)


def program(machine: str | None = None, *, strict: bool = False) -> bytes:
    """The filter for this machine; `strict` where no namespace stands between the processes and the host."""
    kind = MACHINES[machine or platform.machine()]
    filter_ = _Program()
    filter_.add(LOAD, ARCHITECTURE)
    filter_.add(EQUAL, kind.audit, 1, 0)
    filter_.add(RETURN, KILL)
    filter_.add(LOAD, NUMBER)
    if kind.x32:
        filter_.add(AT_LEAST, X32_BIT, 0, 1)
        filter_.refuse(errno.ENOSYS)
    for number in (*kind.denied.values(), *(kind.shared.values() if strict else ())):
        filter_.add(EQUAL, number, 0, 1)
        filter_.refuse(errno.EPERM)
    for number in kind.pretended.values() if strict else ():
        filter_.add(EQUAL, number, 0, 1)
        filter_.refuse(0)
    _clones(filter_, kind.checked)
    _families(filter_, kind.checked["socket"], () if strict else (UNIX, INET, INET6, NETLINK))
    _families(filter_, kind.checked["socketpair"], (UNIX,))
    for name, mode, flags in _MODES:
        if name in kind.checked:
            _mode(filter_, kind.checked[name], mode, flags)
    _ioctls(filter_, kind.checked["ioctl"])
    filter_.add(RETURN, ALLOW)
    return filter_.bytes()


def _clones(filter_: _Program, calls: dict[str, int]) -> None:
    for name in (
        "clone3",
        "openat2",
        "memfd_create",
    ):  # flags behind a pointer, or memory nobody counts; there
        # are older calls for all of them, which programs fall back to
        filter_.add(EQUAL, calls[name], 0, 1)
        filter_.refuse(errno.ENOSYS)
    filter_.add(EQUAL, calls["clone"], 0, 4)
    filter_.load_argument(0)
    filter_.add(ANY_BIT, NEW_NAMESPACES, 0, 1)
    filter_.refuse(errno.EPERM)
    filter_.add(RETURN, ALLOW)


def _families(filter_: _Program, call: int, families: tuple[int, ...]) -> None:
    filter_.add(EQUAL, call, 0, len(families) + 3)
    filter_.load_argument(0)
    for index, family in enumerate(families):
        filter_.add(EQUAL, family, len(families) - index, 0)
    filter_.refuse(errno.EAFNOSUPPORT)
    filter_.add(RETURN, ALLOW)


def _mode(filter_: _Program, call: int, mode: int, flags: int | None) -> None:
    """Refuse to make or mark a file set-uid or set-gid."""
    filter_.add(EQUAL, call, 0, 4 if flags is None else 6)
    if flags is not None:
        filter_.load_argument(flags)
        filter_.add(ANY_BIT, CREATES, 0, 3)
    filter_.load_argument(mode)
    filter_.add(ANY_BIT, SET_ID_BITS, 0, 1)
    filter_.refuse(errno.EPERM)
    filter_.add(RETURN, ALLOW)


def _ioctls(filter_: _Program, call: int) -> None:
    filter_.add(EQUAL, call, 0, 5)
    filter_.load_argument(1)
    filter_.add(EQUAL, TERMINAL_INJECTION[0], 1, 0)
    filter_.add(EQUAL, TERMINAL_INJECTION[1], 0, 1)
    filter_.refuse(errno.EPERM)
    filter_.add(RETURN, ALLOW)
