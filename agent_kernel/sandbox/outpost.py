"""Runs inside a remote sandbox, with nothing but the standard library: the supervisor's arm over there.

`call` answers one request: a file operation, a look at the tree, a word to a job. `run` is a job: a supervisor of
its own around one command, its frames printed as lines, for the service's log carries text alone.

Requests and answers are `length of JSON, JSON, bytes`. Small ones travel in base64, large ones as files.
"""

import binascii
import errno
import fcntl
import io
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
import time

if __package__:
    from agent_kernel.sandbox import supervisor as wire
else:  # over there it lies beside this one
    import supervisor as wire

BASE = "/session/.agent-kernel"
JOBS, ENDED, OWNERS, TREES = BASE + "/jobs", BASE + "/ended", BASE + "/owners", BASE + "/trees"
ROOMS = ["/session/" + name for name in ("outputs", "python", "cache", "home")]
ANSWER = "AGENT-KERNEL "
TREE_MARK = "AGENT_KERNEL_TREE"
ANY_MARK = TREE_MARK.encode() + b"="
INLINE = 48 << 10
LIVE = 12 << 10
"""Bytes of output that go through the service's log; its shell reads that log byte by byte."""
FORGOTTEN, FETCHED = 24 * 3600, 600
MOST_FILES, MOST_DEEP = 100_000, 64
SMALL, MOST_SMALL = 64 << 10, 256 << 10
"""Bytes of a file, and of all of them, that come along with the news that they changed."""
SIZE = struct.Struct(">I")


def started(place, what):
    """The shell's word that runs it: imported, so that it is compiled once."""
    return f'python3 -I -S -c \'import sys; sys.path.insert(0, "{place}"); import outpost; outpost.main("{what}")\''


def token(size):
    return os.urandom(size).hex()


def encoded(data):
    return binascii.b2a_base64(data, newline=False).decode()


def pack(head, blob=b""):
    text = json.dumps(head).encode()
    return SIZE.pack(len(text)) + text + blob


def unpack(data):
    (size,) = SIZE.unpack_from(data)
    return json.loads(data[4 : 4 + size]), data[4 + size :]


# -- one request ---------------------------------------------------------------------------------------


def call(head, blob):
    try:
        answer = DO[head["do"]](head, blob)
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename is not None else None
        answer = {"errno": error.errno or 0, "error": error.strerror or str(error), "path": name}
    if isinstance(answer, bytes):
        return pack({}, answer)
    return pack(*answer) if isinstance(answer, tuple) else pack(answer)


def hello(head, blob):
    """Who is here: a mark that this disk keeps for its life, and the owners of jobs that still run."""
    for folder in (JOBS, ENDED, OWNERS, TREES, BASE + "/in", *ROOMS):
        os.makedirs(folder, exist_ok=True)
    import shutil

    for folder in (JOBS, ENDED, BASE + "/in", OWNERS):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if time.time() - os.lstat(path).st_mtime > FORGOTTEN and not (folder == JOBS and marked(name)):
                shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.unlink(path)
    beat(head, blob)
    owners = {}
    for job in jobs():
        owners.setdefault(job["owner"], time.time() - last_beat(job["owner"]))
    return {"disk": disk(), "owners": owners, "python": sys.version.split()[0]}


def disk():
    path = BASE + "/disk"
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        made = token(16)
        with open(path + ".new", "w") as file:
            file.write(made)
        os.replace(path + ".new", path)
        return made


def beat(head, blob):
    """The owner lives; its jobs may go on."""
    with open(os.path.join(OWNERS, head["owner"]), "w"):
        pass
    os.utime(os.path.join(OWNERS, head["owner"]))
    return {}


def last_beat(owner):
    try:
        return os.stat(os.path.join(OWNERS, owner)).st_mtime
    except OSError:
        return 0.0


def port(head, blob):
    """Somebody answers there, on IPv4 or IPv6."""
    with socket.create_connection(("localhost", head["port"]), timeout=2) as made:
        if wire.met_itself(made, head["port"]):
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return {}


def ports(head, blob):
    """TCP ports that the jobs' processes listen on; the service's own servers are none of them."""
    inodes = {inode for pid in marked() for inode in wire.sockets_of(pid)}
    return {"ports": sorted(wire.listening(inodes)) if inodes else []}


def file(head, blob):
    """The supervisor's own file operations, with its rules."""
    keeper = wire.Supervisor.__new__(wire.Supervisor)
    keeper.config = {"workdir": head["workdir"], "writable": head["writable"]}
    answer = getattr(keeper, "file_" + head["act"])(os.path.join(head["workdir"], head["path"]), head, blob)
    return answer if isinstance(answer, bytes) else {"answer": answer}


# -- jobs ----------------------------------------------------------------------------------------------


def jobs():
    """What was started and still has a process."""
    found = []
    for name in os.listdir(JOBS) if os.path.isdir(JOBS) else ():
        try:
            with open(os.path.join(JOBS, name, "job")) as file:
                job = json.load(file)
        except (OSError, ValueError):
            continue
        if alive(job["pid"], name) or marked(name):
            found.append({**job, "name": name})
    return found


def alive(pid, name):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"outpost" in file.read()
    except OSError:
        return False


def marked(name=None):
    """Processes of the job's tree (None: of any), wherever they went: each inherited its mark."""
    mark, found = f"{TREE_MARK}={name}".encode(), []
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    values = file.read().split(b"\0")
                    if mark in values if name else any(v.startswith(ANY_MARK) for v in values):
                        found.append(int(pid))
            except OSError:
                pass
    return found


def control(head, blob):
    """A word to a running job: stdin, end, signal."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(os.path.join(JOBS, head["job"], "control"))
        data = pack(head, blob)
        line.sendall(SIZE.pack(len(data)) + data)
        received = line.recv(16)
    return {"heard": bool(received)}


def kill(head, blob):
    """End one job, all of some owners, or all there are."""
    chosen = [
        job
        for job in jobs()
        if head.get("job") in (None, job["name"])
        and ("owners" not in head or (job["owner"] in head["owners"] and not job["background"]))
    ]
    for job in chosen:
        try:
            control({"job": job["name"], "word": "kill"}, b"")
        except OSError:
            pass
    until = time.monotonic() + 6
    while chosen and time.monotonic() < until:
        for job in chosen:
            patience = time.monotonic() < until - 4 and alive(job["pid"], job["name"])
            for pid in () if patience else marked(job["name"]):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
        chosen = [job for job in chosen if alive(job["pid"], job["name"]) or marked(job["name"])]
        time.sleep(0.01)
    return {"left": [job["name"] for job in chosen]}


def tidy():
    """Output of jobs that ended a while ago: whoever followed them has it."""
    import shutil

    for name in os.listdir(JOBS):
        try:
            if time.time() - os.stat(os.path.join(ENDED, name)).st_mtime > FETCHED:
                shutil.rmtree(os.path.join(JOBS, name), ignore_errors=True)
        except OSError:
            pass  # it runs


class Job:
    """The bridge between one supervisor and whoever reads this process's output."""

    def __init__(self, head, stdin):
        self.head, self.stdin = head, stdin
        self.name = head["job"]
        self.place = os.path.join(JOBS, self.name)
        self.number = (
            int.from_bytes(os.urandom(4), "big") >> 1 | 1
        )  # supervisors of other jobs look for their own numbers only
        self.lines = 0
        self.heard = set()
        self.spooled = False
        self.ended = False
        self.told = False
        self.why = ""
        self.incoming = bytearray()

    def run(self):
        if os.path.exists(os.path.join(ENDED, self.name)):
            return
        tidy()
        os.makedirs(self.place)
        beat(self.head, b"")
        ours, theirs = socket.socketpair()
        handed, handing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            handed.close()
            self.supervise(theirs, handing)
        theirs.close()
        handing.close()
        self.frames, self.supervisor = ours, pid
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(self.place, "control"))
        listener.listen(16)
        record = {"owner": self.head["owner"], "background": self.head["background"], "pid": os.getpid()}
        with open(os.path.join(self.place, "job.new"), "w") as file:
            json.dump(record, file)
        os.replace(os.path.join(self.place, "job.new"), os.path.join(self.place, "job"))
        signal.signal(signal.SIGTERM, lambda *_: self.frames.shutdown(socket.SHUT_RDWR))
        signal.signal(signal.SIGHUP, signal.SIG_IGN if self.head["background"] else signal.SIG_DFL)
        self.say(wire.READY, b"")
        self.start()
        self.serve(listener)
        self.reap()
        if not self.told:  # only now: whoever hears of the end may count on it
            self.say(wire.EXIT, json.dumps({"code": -9, "error": self.why}).encode())
        with open(os.path.join(ENDED, self.name), "w"):
            pass  # should it be asked for a second time
        if not self.spooled:
            import shutil

            shutil.rmtree(self.place, ignore_errors=True)

    def supervise(self, frames, sockets):
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        environment = {"PATH": "/session/python/bin:" + path, **self.head["env"], TREE_MARK: self.name}
        config = {"env": environment, "workdir": self.head["workdir"], "writable": [], "rlimits": {"CORE": 0},
                  "memory": 1 << 60, "growth": 1 << 60, "reserve": 0, "frames": frames.detach(),
                  "sockets": sockets.detach()}  # fmt: skip
        try:
            wire.harden(config)
            wire.Supervisor(config).run()
        finally:
            os._exit(1)

    def tell(self, kind, payload, number=None):
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        number = self.number if number is None else number
        try:
            self.frames.sendall(wire.HEADER.pack(len(data), kind, number) + data)
        except OSError:
            pass  # it has ended; `serve` sees that

    def start(self):
        self.tell(wire.EXEC, self.head["exec"])
        for at in range(0, len(self.stdin), wire.PIECE):
            self.tell(wire.STDIN, self.stdin[at : at + wire.PIECE])
        if self.head["exec"].get("stdin") and not self.head["keep_stdin"]:
            self.tell(wire.STDIN_END, b"")

    def say(self, kind, payload):
        """One line: number, kind, and the payload or the name of the file that holds it."""
        self.lines += 1
        if len(payload) > LIVE:
            with open(os.path.join(self.place, str(self.lines)), "wb") as file:
                file.write(payload)
            self.spooled, shown = True, f"@{len(payload)}"
        else:
            shown = encoded(payload)
        self.put(f"{self.lines} {kind} {shown}\n")

    def put(self, line):
        try:
            os.write(1, line.encode())
        except OSError:
            pass  # nobody listens: a background job goes on

    def serve(self, listener):
        poll = select.poll()
        poll.register(self.frames, select.POLLIN)
        poll.register(listener, select.POLLIN)
        ticked, tick = time.monotonic(), self.head["tick"]
        while not self.ended:
            for fd, _ in poll.poll(tick * 1000):
                if fd == self.frames.fileno():
                    self.receive()
                elif fd == listener.fileno():
                    self.listen(listener)
            if time.monotonic() - ticked >= tick:
                ticked = time.monotonic()
                self.put("0 0 -\n")
                self.look_after()

    def look_after(self):
        """A job ends when its owner has gone; a background job when it has no process left."""
        if not self.head["background"]:
            if time.time() - last_beat(self.head["owner"]) > self.head["lease"]:
                self.end("The host was not heard of any more. What ran was stopped.")
        elif self.told and not marked(self.name):
            self.ended = True

    def receive(self):
        try:
            data = self.frames.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self.end("The sandbox has died.")
            return
        self.incoming += data
        pieces = []
        while len(self.incoming) >= wire.HEADER.size:
            size, kind, number = wire.HEADER.unpack_from(self.incoming)
            if len(self.incoming) < wire.HEADER.size + size:
                break
            payload = bytes(self.incoming[wire.HEADER.size : wire.HEADER.size + size])
            del self.incoming[: wire.HEADER.size + size]
            if number == self.number and kind in (wire.OUT, wire.ERR, wire.EXIT):
                if pieces and pieces[-1][0] == kind:
                    pieces[-1][1].append(payload)
                else:
                    pieces.append((kind, [payload]))
        for kind, payloads in pieces:
            if not self.told:
                self.say(kind, b"".join(payloads))
            if kind == wire.EXIT:
                self.told = True
                self.ended = not self.head["background"]

    def listen(self, listener):
        line, _ = listener.accept()
        with line:
            line.settimeout(20)
            try:
                (size,) = SIZE.unpack(exactly(line, 4))
                head, blob = unpack(exactly(line, size))
                if head.get("id") not in self.heard:  # a word that was sent twice is heard once
                    self.heard.add(head.get("id") or object())
                    self.obey(head, blob)
                line.sendall(b"+")
            except (OSError, ValueError, struct.error):
                pass

    def obey(self, head, blob):
        if head["word"] == "stdin":
            self.tell(wire.STDIN, blob)
        elif head["word"] == "signal":
            self.tell(wire.SIGNAL, {"job": self.number, "signal": head["signal"]}, self.number + 1)
        elif head["word"] == "kill":
            self.end("It was stopped.")

    def end(self, why):
        self.why = self.why or why
        self.ended = True

    def reap(self):
        """The supervisor ends all that descends from it when its frames end."""
        self.frames.close()
        until = time.monotonic() + wire.LONGEST_END + 1
        while time.monotonic() < until:
            done, _ = os.waitpid(self.supervisor, os.WNOHANG)
            if done:
                break
            time.sleep(0.005)
        else:
            os.kill(self.supervisor, signal.SIGKILL)
        for pid in marked(self.name):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


def exactly(line, size):
    data = bytearray()
    while len(data) < size:
        piece = line.recv(min(1 << 20, size - len(data)))
        if not piece:
            raise OSError(errno.EPIPE, "The line was cut")
        data += piece
    return bytes(data)


# -- the tree ------------------------------------------------------------------------------------------


class Tree:
    """What lies in the workspace, as it was last told to a host: `path → [stamp, key]`.

    A key is `[mode, hash, size]` of a file, `["→", target, 0]` of a symlink; files too large to carry have their
    time for a hash. The state before the last one is kept, for an answer that never arrived.
    """

    def __init__(self, workdir, known, limit):
        self.workdir, self.limit = workdir, limit
        self.token, self.files = "", {}
        for name in ("now", "before") if known else ():
            try:
                with open(os.path.join(TREES, name)) as file:
                    kept = json.load(file)
            except (OSError, ValueError):
                continue
            if kept["token"] == known:
                self.token, self.files = known, kept["files"]
                break

    def save(self, files):
        self.token, self.files = token(8), files
        now, before = os.path.join(TREES, "now"), os.path.join(TREES, "before")
        with open(now + ".new", "w") as file:
            file.write(json.dumps({"token": self.token, "files": files}))  # `dump` takes ten times as long
        if os.path.exists(now):
            os.replace(now, before)
        os.replace(now + ".new", now)

    def entry(self, path, info, known=None):
        stamp = [info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino, info.st_mode]
        if known is not None and known[0] == stamp:
            return known
        full = os.path.join(self.workdir, path)
        mode = stat.S_IMODE(info.st_mode)
        try:
            if stat.S_ISLNK(info.st_mode):
                return [stamp, ["→", os.readlink(full), 0]]
            if info.st_size > self.limit:
                return [stamp, [mode, f"{info.st_mtime_ns}.{info.st_size}", info.st_size]]
            with open(os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                return [stamp, [mode, hash_of(file), info.st_size]]
        except OSError:
            return [stamp, [mode, f"unreadable.{info.st_mtime_ns}", info.st_size]]

    def now(self, path):
        """The key of what is there."""
        try:
            info = os.lstat(os.path.join(self.workdir, path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(info.st_mode):
            return None
        mode, content, size = self.entry(path, info, self.files.get(path))[1]
        return [mode if mode == "→" else mode & 0o777, content, size]

    def walk(self, skipped):
        folders = [""]
        while folders:
            prefix = folders.pop()
            try:
                entries = list(os.scandir(os.path.join(self.workdir, prefix)))
            except OSError:
                continue
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                path = prefix + entry.name
                if stat.S_ISDIR(info.st_mode):
                    if entry.name not in skipped and prefix.count("/") < MOST_DEEP:
                        folders.append(path + "/")
                elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
                    yield path, info


def hash_of(file):
    from _blake2 import blake2b  # `hashlib` loads OpenSSL first

    found = blake2b(digest_size=20)
    while piece := file.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def scan(head, blob):
    """What differs from what the host knows (`token`), or everything. `fresh`: the folder was not there.

    What the host has to `write` meanwhile is written when it is known what was there, and small contents of what
    differs come along: most of the time nothing more is to be asked.
    """
    fresh = not os.path.isdir(head["workdir"])
    os.makedirs(head["workdir"], exist_ok=True)
    tree, files = Tree(head["workdir"], head["token"], head["limit"]), {}
    known, skipped, full = tree.files, frozenset(head["skipped"]), not tree.token
    for path, info in tree.walk(skipped):
        if len(files) >= MOST_FILES:
            return {"many": MOST_FILES}
        files[path] = tree.entry(path, info, known.get(path))
    changed = {
        path: found[1] for path, found in files.items() if path not in known or known[path][1] != found[1]
    }
    gone = [path for path in known if path not in files]
    different, keys, failed = files != known, {}, {}
    if head.get("write") and not full and not fresh:
        tree.files = files
        keys, failed = written(tree, head["write"], blob)
    if full or different or keys:
        tree.save(files)
    said = {"disk": disk(), "fresh": fresh, "full": full, "token": tree.token, "changed": changed, "gone": gone,
            "keys": keys, "failed": failed}  # fmt: skip
    small = [p for p, key in changed.items() if key[0] != "→" and key[2] <= SMALL]
    if full or sum(changed[path][2] for path in small) > MOST_SMALL:
        return said
    contents, packed = packed_files(head["workdir"], small, head["limit"])
    return {
        **said,
        "contents": {small[int(number)]: [number, key] for number, key in contents.items()},
    }, packed


def fetch(head, blob):
    """The contents of `paths` as a tar of numbered members, each with the key it has by now."""
    keys, packed = packed_files(head["workdir"], head["paths"], head["limit"])
    return {"keys": keys}, packed


def packed_files(workdir, paths, limit):
    if not paths:
        return {}, b""
    import tarfile

    keys, packed = {}, io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, path in enumerate(paths):
            try:
                full = os.path.join(workdir, path)
                with open(os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                    info = os.fstat(file.fileno())
                    data = file.read(limit + 1)
            except OSError:
                continue  # it has gone since: the next look tells
            if stat.S_ISREG(info.st_mode) and len(data) <= limit:
                member = tarfile.TarInfo(str(number))
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                keys[str(number)] = [stat.S_IMODE(info.st_mode), hash_of(io.BytesIO(data)), len(data)]
        end = tar.offset
    return keys, packed.getvalue()[:end]


def apply(head, blob):
    """Make the tree as the host says: delete, then write what the tar holds; the keys of what is there now.

    The host says what it believes to be there. What changed since its last look is left for its next.
    """
    tree = Tree(head["workdir"], head["token"], head["limit"])
    tree.files, keys, failed = dict(tree.files), {}, {}
    for path, expected in head["delete"]:
        if tree.now(path) != expected:
            continue
        try:
            remove(head["workdir"], path)
        except OSError as error:
            failed[path] = error.strerror or str(error)
        tree.files.pop(path, None)
        keys[path] = None
    made, wrong = written(tree, head["write"], blob)
    tree.save(tree.files)
    return {"token": tree.token, "keys": {**keys, **made}, "failed": {**failed, **wrong}}


def written(tree, write, blob):
    """(keys of what is there now, why others are not) of what the host had to write."""
    import shutil
    import tarfile

    keys, failed = {}, {}
    with tarfile.open(fileobj=io.BytesIO(blob or bytes(1024)), mode="r|") as tar:
        members = iter(tar)
        for path, mode, target, expected in write:
            source = tar.extractfile(next(members)) if target is None else None
            if tree.now(path) != expected:
                continue
            full = os.path.join(tree.workdir, path)
            try:
                os.makedirs(os.path.dirname(full), exist_ok=True)
                partial = f"{os.path.dirname(full)}/.{token(6)}.part"
                try:
                    if target is not None:
                        os.symlink(target, partial)
                    else:
                        with open(partial, "wb") as file:
                            shutil.copyfileobj(source, file, 1 << 20)
                            os.fchmod(file.fileno(), mode)
                    os.replace(partial, full)
                finally:
                    if os.path.lexists(partial):
                        os.unlink(partial)
                tree.files[path] = tree.entry(path, os.lstat(full))
                keys[path] = tree.files[path][1]
            except OSError as error:
                failed[path] = error.strerror or str(error)
    return keys, failed


def remove(workdir, path):
    full = os.path.join(workdir, path)
    try:
        os.unlink(full)
    except (FileNotFoundError, NotADirectoryError):
        pass
    while (path := os.path.dirname(path)) != "":
        try:
            os.rmdir(os.path.join(workdir, path))
        except OSError:
            return


DO = {
    "hello": hello, "beat": beat, "port": port, "ports": ports, "file": file, "control": control, "kill": kill,
    "scan": scan, "fetch": fetch, "apply": apply,
}  # fmt: skip


def main(do):
    what = sys.stdin.read().strip()
    if what.startswith("@"):
        with open(what[1:], "rb") as file:
            data = file.read()
        os.unlink(what[1:])
    else:
        data = binascii.a2b_base64(what)
    head, blob = unpack(data)
    if do == "run":
        try:
            Job(head, blob).run()
        except FileExistsError:
            pass  # started before; its first line was lost on the way
        return
    with open(BASE + "/lock", "w") as lock:
        if head["do"] in ("scan", "apply", "hello"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        answer = call(head, blob)
    if len(answer) > INLINE:
        path = BASE + "/in/" + token(8)
        with open(path, "wb") as file:
            file.write(answer)
        print(ANSWER + "@" + path)
    else:
        print(ANSWER + encoded(answer))
