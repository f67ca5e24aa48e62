"""The persistent Python inside the sandbox. Standard library only; its source is given to `python -c`.

The first line of standard input is a token. Requests follow as JSON lines; frames go as JSON lines to what was
standard output, each behind the token, which stands in no command line or environment. What code writes to
descriptors 1 and 2 goes through pipes and comes as frames too.
"""

import ast
import asyncio
import base64
import builtins
import codecs
import fcntl
import inspect
import io
import json
import linecache
import os
import select
import signal
import struct
import sys
import termios
import threading
import time
import traceback
import types
import warnings

MOST_OUTPUT = 8 << 20
MOST_TEXT = 20_000
MOST_HTML = 200_000
MOST_IMAGE = 3 << 20
MOST_TAIL = 16 << 10
MOST_FIGURES = 20
MOST_DISPLAYS = 20
MOST_PIXELS = 4000
NAME, VALUE = "<python>", "__value__"


class Driver:
    def __init__(self):
        self.requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self.frames = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        self.token = self.requests.readline().strip()
        self.lock = threading.RLock()
        self.pid = os.getpid()
        self.written, self.tail, self.displays, self.calls = 0, b"", 0, 0
        self.busy = False
        self.pipes, self.ends = [], []
        self.loop = None
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for number, kind in ((1, "stdout"), (2, "stderr")):
            self.redirect(number, kind)
        # A module of its own, so that classes and functions made here can be pickled by name.
        self.own, module = sys.modules["__main__"], types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.namespace = module.__dict__
        self.namespace.update(__builtins__=builtins, display=self.display)
        builtins.input = nobody_types
        warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown.*")
        sys.argv = [""]
        # Started without the notebook's folder on the path: a json.py there must not stop this program.
        os.environ.pop("PYTHONSAFEPATH", None)
        if "" not in sys.path:
            sys.path.insert(0, "")

    def renew(self):
        """Before each call: what an earlier one closed or replaced works again."""
        self.written, self.tail, self.displays = 0, b"", 0
        sys.stdin = open(0, closefd=False)
        for number, name, end in zip((1, 2), ("stdout", "stderr"), self.ends):
            os.dup2(end, number)
            binary = open(number, "wb", 0, closefd=False)
            setattr(sys, name, io.TextIOWrapper(binary, "utf-8", "replace", line_buffering=True))
        signal.signal(signal.SIGINT, self.interrupted)

    def interrupted(self, *_):
        """Only code that was asked for is interrupted, never this program at its own work."""
        if self.busy:
            raise KeyboardInterrupt

    def send(self, kind, **said):
        # The line break before it ends whatever else was written to the same descriptor.
        with self.lock:
            self.frames.write("\n" + self.token + json.dumps({"kind": kind, **said}) + "\n")
            self.frames.flush()

    # -- what code writes ----------------------------------------------------------------------------

    def redirect(self, number, kind):
        outer, inner = os.pipe()
        os.dup2(inner, number)
        self.pipes.append(outer)
        self.ends.append(inner)
        threading.Thread(target=self.pass_on, args=(outer, kind), daemon=True).start()

    def pass_on(self, pipe, kind):
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while True:
            select.select([pipe], [], [])
            with self.lock:  # read and sent as one step: `drain` relies on it
                data = os.read(pipe, 1 << 16)
                if not data:
                    return
                room = max(0, MOST_OUTPUT - self.written)
                self.written += len(data)
                if data[:room]:
                    self.send(kind, text=decode(data[:room]))
                self.tail = (self.tail + data[room:])[-MOST_TAIL:]

    def drain(self):
        """Until everything written so far is on its way, so that outputs keep their order."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # replaced or closed by the code
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            with self.lock:
                if not any(self.waiting(pipe) for pipe in self.pipes):
                    return
            time.sleep(0.0005)

    @staticmethod
    def waiting(pipe):
        return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]

    # -- values --------------------------------------------------------------------------------------

    def display(self, *values):
        """Show values among the outputs, as a notebook's `display` does."""
        self.drain()
        for value in values:
            self.displays += 1
            if self.displays <= MOST_DISPLAYS:
                self.send("display", data=bundle(value))

    def figures(self):
        """All open figures as images; then they are closed, whatever happens."""
        plot = sys.modules.get("matplotlib.pyplot")
        numbers = plot.get_fignums() if plot is not None else []
        try:
            for number in numbers[:MOST_FIGURES]:
                figure = plot.figure(number)
                try:
                    self.send("display", data={"image/png": png_of(figure), "text/plain": text_of(figure)})
                except Exception as error:
                    said = f"(Figure {number} could not be drawn: {type(error).__name__}: {error})"
                    self.send("display", data={"text/plain": said})
            if len(numbers) > MOST_FIGURES:
                more = len(numbers) - MOST_FIGURES
                self.send("display", data={"text/plain": f"({more} more figures are not shown; save them.)"})
        finally:
            if numbers:
                plot.close("all")

    # -- running -------------------------------------------------------------------------------------

    def run(self):
        self.send("ready")
        signal.signal(signal.SIGINT, self.interrupted)
        while line := self.requests.readline():
            self.renew()
            if self.attempt(self.one, json.loads(line)["code"]):
                self.attempt(self.figures)
            elif "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close("all")
            self.drain()
            self.finish()

    def attempt(self, work, *args):
        """Do it, and say how it failed. False when it was interrupted."""
        interrupted = False
        try:
            self.busy = True
            try:
                work(*args)
            finally:
                self.busy = False
                if os.getpid() != self.pid:
                    os._exit(0)  # a copy the code forked must not answer in our place
        except KeyboardInterrupt:
            self.fail("KeyboardInterrupt", "KeyboardInterrupt")
            interrupted = True
        except SystemExit as error:
            if error.code not in (None, 0):
                self.fail("SystemExit", f"SystemExit: {error.code}. The session goes on.")
        except BaseException as error:
            self.fail(type(error).__name__, readable(error))
        return not interrupted

    def fail(self, name, text):
        self.drain()
        self.send("error", name=name, text=text)

    def finish(self):
        dropped = max(0, self.written - MOST_OUTPUT - len(self.tail))
        if self.tail:
            end = self.tail.decode("utf-8", "replace")
            self.send("stdout", text=f"\n… {dropped:,} bytes left out …\n{end}" if dropped else end)
        if self.displays > MOST_DISPLAYS:
            more = self.displays - MOST_DISPLAYS
            self.send("display", data={"text/plain": f"({more} more displayed values are not shown.)"})
        self.send("done", dropped=dropped)

    def one(self, code):
        self.send("begun")  # from now on it can be interrupted
        self.calls += 1
        name = f"{NAME[:-1]}-{self.calls}>"
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        tree = ast.parse(code, name)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = tree.body[-1]
            # As one piece with the rest: with an `await` anywhere, all of it runs in the loop.
            target = ast.copy_location(ast.Name(VALUE, ast.Store()), last)
            tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
        self.namespace.pop(VALUE, None)
        self.evaluate(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True))
        value = self.namespace.pop(VALUE, None)
        if value is not None and not code.rstrip().endswith(";"):
            self.namespace["_"] = value
            self.drain()
            self.send("result", data=bundle(value))

    def evaluate(self, code):
        value = eval(code, self.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            return self.wait_for(value)
        return value

    def wait_for(self, coroutine):
        """One loop for all calls, so that what was opened in one can be awaited in the next."""
        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        task = self.loop.create_task(coroutine)
        try:
            return self.loop.run_until_complete(task)
        except KeyboardInterrupt:
            task.cancel()
            self.loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            raise


def nobody_types(prompt="", /):
    raise EOFError("nobody can type here; put the value into the code")


def text_of(value):
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr failed: {type(error).__name__}>"
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}… ({len(text):,} characters)"


def bundle(value):
    """The value as mime types: always text, and what it offers of HTML and images."""
    data = {"text/plain": text_of(value)}
    for mime, name, most in (
        ("text/html", "_repr_html_", MOST_HTML),
        ("image/png", "_repr_png_", MOST_IMAGE),
        ("image/svg+xml", "_repr_svg_", MOST_HTML),
    ):
        try:
            method = None if isinstance(value, type) else getattr(value, name, None)
            shown = None if method is None else method()
        except Exception:
            continue
        if isinstance(shown, bytes):
            shown = base64.b64encode(shown).decode()
        if isinstance(shown, str) and len(shown) <= most:
            data[mime] = shown
    return data


def png_of(figure):
    """A figure as base64 PNG of bounded width, height and size."""
    size = max(figure.get_size_inches())
    for dpi in (110, 60, 30):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=min(dpi, MOST_PIXELS / size), bbox_inches="tight")
        if len(file.getvalue()) <= MOST_IMAGE:
            return base64.b64encode(file.getvalue()).decode()
    raise ValueError("the image is too large")


def readable(error):
    """The traceback from the person's code on; nothing of this program."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(NAME[:-1]):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = "".join(lines).rstrip("\n")
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT // 2]}\n…\n{text[-MOST_TEXT // 2 :]}"


if __name__ == "__main__":
    Driver().run()
