"""Runs inside the sandbox as PID 1, with nothing but the standard library.

`config["frames"]` is the descriptor of a stream of frames to and from the host, `config["sockets"]` hands
sockets out. When the host goes
away, this process ends, and the kernel ends everything else in the PID namespace with it.

A frame is `length, kind, id` and a payload: JSON, or bytes for output and files.
"""

import array
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

HEADER = struct.Struct(">IBI")
EXEC, STDIN, STDIN_END, KILL, SIGNAL, CONNECT, LISTEN, FILE, PORTS, LEFT = range(1, 11)
READY, OUT, ERR, EXIT, RESULT, FAILED = range(100, 106)

PIECE = 1 << 18
PIPE_SIZE = 1 << 20
LOOK = 1.0
LONGEST_END = 3.0
LEAST_MEMORY = 128 << 20
LINUX = sys.platform == "linux"
F_SETPIPE_SZ = 1031
MARK = "AGENT_KERNEL_JOB"


class Job:
    """One running command: what it may still send, and the end of what it may not."""

    def __init__(self, number, request):
        self.number = number
        self.room = {OUT: request.get("max_output", 1 << 20), ERR: request.get("max_output", 1 << 20)}
        self.keep = request.get("tail", 65536)
        self.dropped = {OUT: 0, ERR: 0}
        self.tail = {OUT: bytearray(), ERR: bytearray()}
        self.pipes = {}
        self.stdin = None
        self.waiting_input = bytearray()
        self.input_ended = False
        self.background = bool(request.get("background"))
        self.began = time.monotonic()
        self.deadline = self.began + request["timeout"] if request.get("timeout") else None
        self.timed_out = False
        self.error = ""
        self.process = None


class Supervisor:
    def __init__(self, config):
        self.config = config
        self.life = os.urandom(8).hex()
        self.frames = socket.socket(fileno=config["frames"])
        self.sockets = socket.socket(fileno=config["sockets"])
        self.incoming = bytearray()
        self.jobs = {}
        self.pids = {}
        self.readers = {}
        self.writers = {}
        self.poll = select.poll()
        self.next_look = time.monotonic() + LOOK
        self.free_at_start = free_bytes(config["workdir"])
        self.left = False  # processes outlived their job

    # -- the loop ------------------------------------------------------------------------------------

    def run(self):
        wake, woken = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.poll.register(self.frames, select.POLLIN)
        self.poll.register(wake, select.POLLIN)
        self.send(READY, 0, {})
        while True:
            for fd, _ in self.poll.poll(self.milliseconds_to_wait()):
                if fd == self.frames.fileno():
                    self.receive()
                elif fd == wake:
                    self.woken(wake)
                elif fd in self.readers:
                    self.pump(self.readers[fd], fd)
                elif fd in self.writers:
                    self.feed(self.writers[fd])
            self.end_overdue()
            if (self.jobs or self.left) and time.monotonic() >= self.next_look:
                self.watch()

    def send(self, kind, number, payload):
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        try:
            self.frames.sendall(HEADER.pack(len(data), kind, number) + data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the host is gone: `receive` sees it, and ends what still runs

    def receive(self):
        try:
            data = self.frames.recv(PIECE)
        except ConnectionResetError:
            data = b""
        if not data:
            if os.getpid() != 1:  # where it is, all ends with it
                self.end_descendants()
            os._exit(0)
        self.incoming += data
        while len(self.incoming) >= HEADER.size:
            size, kind, number = HEADER.unpack_from(self.incoming)
            if len(self.incoming) < HEADER.size + size:
                return
            payload = bytes(self.incoming[HEADER.size : HEADER.size + size])
            del self.incoming[: HEADER.size + size]
            try:
                self.handle(kind, number, payload)
            except OSError as error:
                self.failed(number, error)
            except Exception as error:
                self.send(FAILED, number, {"errno": 0, "error": repr(error)})

    def failed(self, number, error):
        name = (
            error.filename.decode("utf-8", "replace") if isinstance(error.filename, bytes) else error.filename
        )
        self.send(FAILED, number, {"errno": error.errno, "error": error.strerror or str(error), "path": name})

    def handle(self, kind, number, payload):
        if kind == EXEC:
            self.start(number, json.loads(payload))
        elif kind == STDIN:
            self.write_input(number, payload)
        elif kind == STDIN_END:
            self.end_input(number)
        elif kind == SIGNAL:
            self.signal(number, json.loads(payload))
        elif kind == KILL:
            self.kill(json.loads(payload).get("job"))
            self.send(RESULT, number, {})
        elif kind in (CONNECT, LISTEN):
            self.hand_out(kind, number, json.loads(payload)["port"])
        elif kind == FILE:
            self.file(number, payload)
        elif kind == PORTS:
            # without a network of its own, only what descendants of this process listen on
            own = None if os.getpid() == 1 else self.own_sockets()
            self.send(RESULT, number, sorted(listening(own)))
        elif kind == LEFT:
            self.send(RESULT, number, self.goes_on())

    # -- commands ------------------------------------------------------------------------------------

    def start(self, number, request):
        job = Job(number, request)
        environment = {**self.config["env"], **(request.get("env") or {}), MARK: self.mark(number)}
        argv = request.get("argv") or ["/bin/bash", "-c", request["command"]]
        ends = []
        try:
            for kind in (OUT, ERR):
                ends.append(self.output_pipe(job, kind))
            if request.get("stdin"):
                inner, job.stdin = os.pipe()
                os.set_blocking(job.stdin, False)
            else:
                inner = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            ends.append(inner)
            job.process = subprocess.Popen(
                argv,
                stdin=inner,
                stdout=ends[0],
                stderr=ends[1],
                cwd=request.get("cwd") or self.config["workdir"],
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            for fd in [*job.pipes, *([job.stdin] if job.stdin is not None else [])]:
                os.close(fd)
            missing = getattr(error, "errno", 0) == errno.ENOENT
            self.send(EXIT, number, {"code": 127 if missing else 126, "error": str(error)})
            return
        finally:
            for fd in ends:
                os.close(fd)
        self.jobs[number] = self.pids[job.process.pid] = job
        for fd in job.pipes:
            self.readers[fd] = job
            self.poll.register(fd, select.POLLIN)

    def output_pipe(self, job, kind):
        outer, inner = os.pipe()
        os.set_blocking(outer, False)
        if LINUX:
            try:
                fcntl.fcntl(outer, F_SETPIPE_SZ, PIPE_SIZE)
            except OSError:
                pass
        job.pipes[outer] = kind
        return inner

    def pump(self, job, fd, rounds=4):
        """Pass on what the command wrote; a few pieces at a time, so that one flood starves nobody."""
        kind = job.pipes[fd]
        for _ in range(rounds):
            try:
                data = os.read(fd, PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close_reader(job, fd)
                return
            passed = data[: job.room[kind]]
            if passed:
                job.room[kind] -= len(passed)
                self.send(kind, job.number, passed)
            rest = data[len(passed) :]
            if rest:
                job.dropped[kind] += len(rest)
                tail = job.tail[kind]
                tail += rest[-job.keep :]
                del tail[: max(0, len(tail) - job.keep)]

    def close_reader(self, job, fd):
        self.poll.unregister(fd)
        del self.readers[fd], job.pipes[fd]
        os.close(fd)

    def write_input(self, number, data):
        job = self.jobs.get(number)
        if job is None or job.stdin is None:
            return
        job.waiting_input += data
        self.feed(job)

    def end_input(self, number):
        job = self.jobs.get(number)
        if job is not None and job.stdin is not None:
            job.input_ended = True
            self.feed(job)

    def feed(self, job):
        """Write waiting input as far as the pipe takes it; never wait for the command to read."""
        try:
            while job.waiting_input:
                del job.waiting_input[: os.write(job.stdin, job.waiting_input[:65536])]
        except BlockingIOError:
            if job.stdin not in self.writers:
                self.writers[job.stdin] = job
                self.poll.register(job.stdin, select.POLLOUT)
            return
        except OSError:
            job.waiting_input.clear()
            job.input_ended = True
        if job.stdin in self.writers:
            self.poll.unregister(job.stdin)
            del self.writers[job.stdin]
        if job.input_ended:
            os.close(job.stdin)
            job.stdin = None

    # -- ends ----------------------------------------------------------------------------------------

    def woken(self, wake):
        try:
            os.read(wake, 4096)
        except BlockingIOError:
            pass
        self.reap()

    def reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self.pids.pop(pid, None)
            if job is not None:
                self.finish(job, os.waitstatus_to_exitcode(status))

    def finish(self, job, code):
        job.process.returncode = code
        if not job.background:
            self.kill_tree(job.number, job.process.pid)
        elif not self.left:
            self.left, self.next_look = True, time.monotonic() + LOOK
        for fd in list(job.pipes):
            self.pump(job, fd, rounds=64)
            if fd in job.pipes:
                self.close_reader(job, fd)
        if job.stdin is not None:
            job.waiting_input.clear()
            job.input_ended = True
            self.feed(job)
        del self.jobs[job.number]
        self.send(
            EXIT,
            job.number,
            {
                "code": code,
                "ms": round((time.monotonic() - job.began) * 1000),
                "timed_out": job.timed_out,
                "error": job.error,
                "dropped": job.dropped[OUT] + job.dropped[ERR],
                "tail": (job.tail[OUT] or job.tail[ERR]).decode("latin-1"),
            },
        )

    def milliseconds_to_wait(self):
        if not self.jobs and not self.left:
            return None
        deadlines = [job.deadline for job in self.jobs.values() if job.deadline]
        return max(0, min([self.next_look, *deadlines]) - time.monotonic()) * 1000 + 1

    def watch(self):
        """No limit of the kernel bounds all processes together, or the workspace's disk: look now and then."""
        self.next_look = time.monotonic() + LOOK
        self.left = bool(self.orphans())
        segments = shared_segments()
        used = resident_bytes() + sum(segments.values())
        free, memory_left = free_bytes(self.config["workdir"]), free_memory()
        problem = ""
        if used > self.config["memory"]:
            problem = f"The sandbox used more than {self.config['memory'] >> 20} MiB of memory."
        elif self.free_at_start - free > self.config["growth"]:
            problem = f"More than {self.config['growth'] >> 20} MiB were written to disk."
        elif free < self.config["reserve"] and self.free_at_start >= self.config["reserve"]:
            problem = f"The disk is almost full ({free >> 20} MiB left)."
        elif memory_left < LEAST_MEMORY:
            problem = f"The machine is almost out of memory ({memory_left >> 20} MiB left)."
        if problem:
            self.free_at_start = free
            for job in list(self.jobs.values()):
                job.error = problem + " What ran was stopped."
            self.kill(None)
            remove_segments(shared_segments())  # also what was made since the look

    def end_overdue(self):
        now = time.monotonic()
        for job in list(self.jobs.values()):
            if job.deadline and now >= job.deadline:
                job.deadline, job.timed_out = None, True
                self.kill_tree(job.number, job.process.pid)

    def signal(self, number, request):
        job = self.jobs.get(request["job"])
        if job is not None:
            try:
                os.killpg(job.process.pid, request["signal"])
            except OSError:
                pass
        self.send(RESULT, number, {})

    def mark(self, number):
        """Without a PID namespace other sandboxes' processes are seen too, whose jobs have the same numbers."""
        return f"{self.life}.{number}"

    def kill(self, number):
        if number is None and os.getpid() == 1:
            try:
                os.kill(-1, signal.SIGKILL)
            except OSError:
                pass
        elif number is None:  # without a PID namespace, -1 would be everything of this user
            self.end_descendants()
        elif number in self.jobs:
            self.kill_tree(number, self.jobs[number].process.pid)

    def end_descendants(self):
        """Without a PID namespace: what loses its parent becomes a child of this process (a subreaper), so
        killing children until there are none ends all that were ever started here."""
        for job in list(self.jobs.values()):
            self.kill_tree(job.number, job.process.pid)
        until = time.monotonic() + LONGEST_END
        while LINUX and time.monotonic() < until:
            children = self.children()
            if not children:
                return
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.reap()
            time.sleep(0.002)

    def kill_tree(self, number, leader):
        """The process group, and whatever left it: each descendant carries the job's mark."""
        try:
            os.killpg(leader, signal.SIGKILL)
        except OSError:
            if not self.orphans():
                return
        for attempt in range(20):
            found = self.marked(number)
            if not found:
                return
            if len(found) > 64 and attempt > 2 and os.getpid() == 1:
                self.kill(None)  # one call for all beats a fork bomb
                return
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                    if pid not in self.pids:
                        os.waitpid(pid, os.WNOHANG)
                except OSError:
                    pass  # it has died, or its parent is another and still dies: then it comes to us
            time.sleep(0.002 * attempt)

    def orphans(self):
        """Children of PID 1 that are not a job's own process: somebody left its parent."""
        if not LINUX:
            return []
        try:
            return [pid for pid in self.children() if pid not in self.pids]
        except (OSError, ValueError):
            return [0]  # cannot be told: look at all

    def goes_on(self):
        """Whether a background command runs, or what one has left; where that cannot be told, it does."""
        return not LINUX or any(job.background for job in self.jobs.values()) or bool(self.orphans())

    @staticmethod
    def children():
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return list(map(int, file.read().split()))

    def marked(self, number):
        """Processes with the job's mark, and strays that took theirs off."""
        if not LINUX:
            return []
        mark, found, strays = (
            f"{MARK}={self.mark(number)}".encode(),
            [],
            self.orphans() if os.getpid() == 1 else [],
        )
        try:
            names = os.listdir("/proc")
        except OSError:  # Landlock hides it: all that is left is what lost its parent to us
            return [pid for pid in self.orphans() if pid]
        for name in names:
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    environment = file.read().split(b"\0")
                if mark in environment or (
                    int(name) in strays and not any(e.startswith(MARK.encode()) for e in environment)
                ):
                    found.append(int(name))
            except OSError:
                pass
        return found

    # -- ports ---------------------------------------------------------------------------------------

    def hand_out(self, kind, number, port):
        """A socket made in here, passed to the host: connected to a port, or listening on one."""
        label = struct.pack(">I", number)
        made = None
        try:
            if kind == CONNECT:
                made = connected(port)
            else:
                made = socket.socket()
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind(("127.0.0.1", port))
                made.listen(128)
            rights = array.array("i", [made.fileno()])
            self.sockets.sendmsg([label], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError as error:
            self.sockets.sendmsg([label + str(error).encode()])
        finally:
            if made is not None:
                made.close()

    def own_sockets(self):
        """Inodes of the sockets that descendants of this process hold."""
        parents, inodes = {}, set()
        try:
            pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        except OSError:
            return inodes
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    parents[pid] = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                pass
        for pid in parents:
            above, steps = parents[pid], 0
            while above not in (0, os.getpid()) and steps < len(parents):
                above, steps = parents.get(above, 0), steps + 1
            if above == os.getpid():
                inodes |= sockets_of(pid)
        return inodes

    # -- files ---------------------------------------------------------------------------------------

    def file(self, number, payload):
        (size,) = struct.unpack_from(">I", payload)
        request, data = json.loads(payload[4 : 4 + size]), payload[4 + size :]
        path = os.path.join(self.config["workdir"], request["path"])
        answer = getattr(self, "file_" + request["do"])(path, request, data)
        self.send(RESULT, number, answer)

    def file_read(self, path, request, data):
        self.inside(path, request)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EISDIR if os.path.isdir(path) else errno.EINVAL, "Not a file", path)
            file.seek(request["offset"])
            return file.read(request["limit"])

    def file_write(self, path, request, data):
        self.writable(path)
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        path = os.path.realpath(path)
        self.writable(path)
        partial = os.path.join(
            os.path.dirname(path), f".{os.path.basename(path)[:80]}.{request['part']}.part"
        )
        try:
            if not request["offset"]:
                self.make_like(path, partial)
            with open(partial, "r+b") as file:
                file.seek(request["offset"])
                file.write(data)
            if request["last"]:
                os.replace(partial, path)
        except BaseException:
            try:
                os.unlink(partial)
            except OSError:
                pass
            raise
        return {"size": len(data)}

    @staticmethod
    def make_like(path, partial):
        """An empty file with the mode of the one it will replace (made with it: Landlock's tier has no chmod)."""
        try:
            mode, mask = stat.S_IMODE(os.stat(path).st_mode) & 0o777, 0
        except FileNotFoundError:
            mode, mask = 0o666, 0o022
        before = os.umask(mask)
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode))
        finally:
            os.umask(before)

    def file_stat(self, path, request, data):
        self.inside(os.path.dirname(path.rstrip("/")), request)
        return self.entry(os.path.basename(path), os.lstat(path))

    def file_list(self, path, request, data):
        self.inside(path, request)
        found = []
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    found.append(self.entry(entry.name, entry.stat(follow_symlinks=False)))
                except OSError:
                    pass
        return found

    def file_remove(self, path, request, data):
        self.writable(path)
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil

            shutil.rmtree(path)
        else:
            os.unlink(path)
        return {}

    def file_move(self, path, request, data):
        target = os.path.join(self.config["workdir"], request["target"])
        self.writable(path)
        self.writable(target)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(path, target)
        return {}

    def inside(self, path, request):
        """With `inside`, symlinks on the way lead nowhere but below the workspace."""
        if request.get("inside"):
            top, real = os.path.realpath(self.config["workdir"]), os.path.realpath(path)
            if real != top and not real.startswith(top + "/"):
                raise PermissionError(errno.EACCES, "It leads out of the workspace", path)

    def writable(self, path):
        """File operations of tools stay in the places made for writing, symlinks followed."""
        parent = os.path.realpath(os.path.dirname(os.path.normpath(path)))
        places = self.config["writable"]
        if not any(parent == place or parent.startswith(place + "/") for place in places):
            raise PermissionError(errno.EACCES, "Outside the places that can be written", path)

    def entry(self, name, found):
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
        return {
            "name": name.encode("utf-8", "replace").decode(),
            "kind": kinds.get(stat.S_IFMT(found.st_mode), "other"),
            "size": found.st_size,
            "modified_ms": found.st_mtime_ns // 1_000_000,
        }


def sockets_of(pid):
    """Inodes of the sockets that a process holds. It may close others of its files while we look."""
    found = set()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found
    for name in names:
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:["):
            found.add(link[8:-1])
    return found


def listening(own):
    """TCP ports that are listened on, by sockets with these inodes (None: by any)."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:  # no IPv6, or a tier whose walls hide it
            continue
        for row in rows:
            if row[3] == "0A" and (own is None or row[9] in own):
                found.add(int(row[1].rpartition(":")[2], 16))
    return found


def connected(port):
    """A socket to a port on loopback, IPv4 or IPv6. With a server too busy to accept, it is still connecting:
    this process must not wait for anybody."""
    problem = None
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        made = None
        try:
            made = socket.socket(family)
            made.setblocking(False)
            code = made.connect_ex((host, port))
            if code == errno.EINPROGRESS:
                select.select([], [made], [], 0.05)
                code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code or met_itself(made, port):
                code = code or errno.ECONNREFUSED
                raise OSError(code, os.strerror(code))
            made.setblocking(True)
            return made
        except OSError as error:
            problem = problem or error
            if made is not None:
                made.close()
    raise problem


def met_itself(made, port):
    """Whether a connection on loopback leads to itself: where nobody listens, its own end may be given that port."""
    if made.getsockname()[1] != port:
        return False
    # closed as usual, it would keep whoever wants to listen there from it for a minute
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


def resident_bytes():
    """What all processes here have in memory."""
    pages = 0
    for name in os.listdir("/proc") if os.getpid() == 1 else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/statm") as file:
                    pages += int(file.read().split()[1])
            except (OSError, IndexError, ValueError):
                pass
    return pages * resource.getpagesize()


def shared_segments():
    """{id: bytes in memory} of System V segments, which outlive their processes; none without namespaces."""
    found = {}
    try:
        with open("/proc/sysvipc/shm") as file:
            names = file.readline().split()
            for line in file if os.getpid() == 1 else ():
                row = dict(zip(names, line.split()))
                found[int(row["shmid"])] = int(row["rss"])
    except (OSError, ValueError, KeyError):
        pass
    return found


def remove_segments(segments):
    if segments:
        import ctypes

        for number in segments:
            ctypes.CDLL(None).shmctl(number, 0, None)  # IPC_RMID


def free_memory():
    """What the machine has left; no limit counts the buffers of sockets and pipes."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return LEAST_MEMORY


def free_bytes(path):
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def harden(config):
    """Nothing inherited but the two sockets; children cannot look into this process."""
    import ctypes

    kept = (config["frames"], config["sockets"])
    for fd in map(int, os.listdir("/proc/self/fd" if LINUX else "/dev/fd")):
        if fd > 2 and fd not in kept:
            try:
                os.close(fd)
            except OSError:
                pass  # the listing's own
    for fd in kept:
        os.set_inheritable(fd, False)
    if LINUX:
        libc = ctypes.CDLL(None)
        libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
        libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, where this is not PID 1
    for name, value in config["rlimits"].items():
        try:
            resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
        except (ValueError, OSError) as error:
            sys.stderr.write(f"limit {name}: {error}\n")


def main():
    config = json.loads(sys.argv[1])
    harden(config)
    Supervisor(config).run()


if __name__ == "__main__":
    main()
