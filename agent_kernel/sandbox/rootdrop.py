"""When the host process is root: give up root before bubblewrap starts. Run as a program, standard library only.

bubblewrap run by root can be escaped, and root ignores the limit on processes. So, in a mount namespace of
its own, each folder is mounted at a reachable place (the writable ones with their owner mapped to the
sandbox's user), then this process becomes that user and executes bubblewrap.

    rootdrop.py '{"uid": N, "root": DIR, "binds": [[SOURCE, writable], …]}' -- COMMAND …

Bind number i of the list is found at DIR/i; DIR is any folder, hidden only here.
"""

import ctypes
import errno
import json
import os
import struct
import sys

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_IDMAP = 0x1, 0x2, 0x4, 0x100000
OPEN_TREE_CLONE, O_CLOEXEC = 1, 0x80000
MOVE_FROM_EMPTY_PATH = 4

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def user_namespace(owner, uid):
    """A user namespace in which `owner` on disk is `uid` here; only for the mapping of a mount."""
    ready_out, ready_in = os.pipe()
    done_out, done_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        os._exit(1) if libc.unshare(CLONE_NEWUSER) != 0 else os.write(ready_in, b".")
        os.read(done_out, 1)
        os._exit(0)
    os.close(ready_in)
    if not os.read(ready_out, 1):
        raise OSError("no user namespace can be made")
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(f"{owner} {uid} 1\n")
    descriptor = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    os.write(done_in, b".")
    os.waitpid(pid, 0)
    for end in (ready_out, done_out, done_in):
        os.close(end)
    return descriptor


def opened(source):
    """The folder (or file) as a mount that is not attached yet."""
    flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE
    return checked(libc.syscall(OPEN_TREE, AT_FDCWD, os.fsencode(source), flags), f"open {source}")


def attach(tree, source, target, writable, uid):
    if os.path.isdir(f"/proc/self/fd/{tree}"):
        os.mkdir(target)
    else:
        open(target, "w").close()
    attributes = ATTR_NOSUID | ATTR_NODEV
    namespace = 0
    if writable:
        namespace = user_namespace(os.fstat(tree).st_uid, uid)
        attributes |= ATTR_IDMAP
    else:
        attributes |= ATTR_RDONLY
    setting = struct.pack("QQQQ", attributes, 0, 0, namespace)
    # Only the folder itself is mapped: a mount below it may be of a kind that cannot be.
    where = AT_EMPTY_PATH if writable else AT_EMPTY_PATH | AT_RECURSIVE
    if libc.syscall(MOUNT_SETATTR, tree, b"", where, setting, len(setting)) < 0:
        number = ctypes.get_errno()
        if number == errno.EINVAL and writable:
            sys.exit(f"the file system of {source} cannot be shown with another owner (idmapped mount): use a "
                     "folder on ext4, xfs, btrfs or tmpfs, or work as a user who is not root")  # fmt: skip
        raise OSError(number, f"map {source}: {os.strerror(number)}")
    moved = libc.syscall(MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(target), MOVE_FROM_EMPTY_PATH)
    checked(moved, f"mount {source}")
    os.close(tree)
    if namespace:
        os.close(namespace)


def main():
    order, command = json.loads(sys.argv[1]), sys.argv[3:]
    uid = order["uid"]
    checked(libc.unshare(CLONE_NEWNS), "mount namespace")
    checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    trees = [opened(source) for source, _ in order["binds"]]  # before something is mounted over them
    checked(libc.mount(b"none", os.fsencode(order["root"]), b"tmpfs", 0, b"mode=755,size=1m"), "tmpfs")
    for index, (tree, (source, writable)) in enumerate(zip(trees, order["binds"])):
        attach(tree, source, f"{order['root']}/{index}", writable, uid)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
