"""The fallback where user namespaces are refused: Landlock and the system-call filter. Also run as a program,
standard library only, that restricts itself and then executes the supervisor.

Weaker than bubblewrap: file names can be asked for (`stat`) and times of files of the same user set, nothing below
the workspace can be kept from being written, the memory of all processes together has no bound, and there are no
sockets at all, so no network, not even through the proxy. Before ABI 6 processes of the same user can be signalled.
"""

import ctypes
import json
import os
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ = 1 | 4 | 8  # execute, read file, read dir
ALL_FILES = (1 << 13) - 1
DEVICES = 64 | 2048  # make char and block devices
FILE_ONLY = 1 | 2 | 4 | 16384 | 32768
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP = 38, 22, 24
OLDEST = 3
"""Before it any file of the same user could be cut to nothing (`truncate`)."""
SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/fonts", "/etc/localtime", "/etc/mime.types",
    "/dev/urandom", "/dev/random", "/proc/self",
)  # fmt: skip
DEVICE_FILES = ("/dev/null", "/dev/zero", "/dev/tty")


def abi():
    """The version of Landlock of this kernel; 0 without it."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, None, 0, 1))


def order(tree, writable, package):
    """What the program is told: folders to read and to write, and the filter."""
    from agent_kernel.sandbox import seccomp

    readable = [*SYSTEM, *tree.folders(), package]
    return {
        "read": readable,
        "write": [*writable, *DEVICE_FILES],
        "filter": seccomp.program(strict=True).hex(),
    }


def restrict(readable, writable):
    libc = ctypes.CDLL(None, use_errno=True)
    version = abi()
    if version < OLDEST:
        raise OSError(f"this kernel's Landlock is too old (ABI {version})")
    handled = ALL_FILES | 8192 | 16384 | (32768 if version >= 5 else 0)
    network = 3 if version >= 4 else 0
    scopes = 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, network, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(CREATE_RULESET, attributes, size, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock ruleset")
    for paths, access in ((readable, READ), (writable, handled & ~DEVICES)):
        for path in paths:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            allowed = (access if os.path.isdir(path) else access & FILE_ONLY) & handled
            if libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, descriptor), 0):
                raise OSError(ctypes.get_errno(), path)
            os.close(descriptor)
    drop_capabilities(libc)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "Landlock")
    os.close(ruleset)


def drop_capabilities(libc):
    """A root without capabilities is a user like others, but for the files it owns."""
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("Ii", 0x20080522, 0)
    libc.capset(header, struct.pack("IIIIII", 0, 0, 0, 0, 0, 0))


def install(program):
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(PR_SET_SECCOMP, 2, described, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main():
    said = json.loads(sys.argv[1])
    command = sys.argv[3:]
    restrict(said["read"], said["write"])
    install(bytes.fromhex(said["filter"]))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
