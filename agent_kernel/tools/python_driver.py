"""The persistent Python inside the sandbox. Standard library only; its source is given to `python -c`.

Requests come as JSON lines on standard input, frames go as JSON lines to what was standard output, each behind
a token that code under it was never told. What that code itself writes to descriptors 1 and 2 goes through pipes
and comes as frames too.
"""

import ast
import asyncio
import base64
import builtins
import fcntl
import inspect
import io
import json
import linecache
import os
import struct
import sys
import termios
import threading
import time
import traceback
import warnings

MOST_OUTPUT = 8 << 20
MOST_TEXT = 20_000
MOST_HTML = 200_000
MOST_IMAGE = 3 << 20
NAME = "<python>"


class Driver:
    def __init__(self):
        self.token = sys.argv[1]
        self.requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self.frames = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        self.lock = threading.Lock()
        self.written = 0
        self.pipes = []
        self.loop = None
        self.calls = 0
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for number, kind in ((1, "stdout"), (2, "stderr")):
            self.redirect(number, kind)
        sys.stdin = open(0, closefd=False)
        sys.stdout = io.TextIOWrapper(
            open(1, "wb", 0, closefd=False), "utf-8", "replace", line_buffering=True
        )
        sys.stderr = io.TextIOWrapper(
            open(2, "wb", 0, closefd=False), "utf-8", "replace", line_buffering=True
        )
        self.namespace = {"__name__": "__main__", "__builtins__": builtins, "display": self.display}
        warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown.*")
        sys.argv = [""]

    def send(self, kind, **said):
        with self.lock:
            self.frames.write(self.token + json.dumps({"kind": kind, **said}) + "\n")
            self.frames.flush()

    # -- what code writes ----------------------------------------------------------------------------

    def redirect(self, number, kind):
        outer, inner = os.pipe()
        os.dup2(inner, number)
        os.close(inner)
        self.pipes.append(outer)
        threading.Thread(target=self.pass_on, args=(outer, kind), daemon=True).start()

    def pass_on(self, pipe, kind):
        import codecs

        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while data := os.read(pipe, 1 << 16):
            room = MOST_OUTPUT - self.written
            self.written += len(data)
            if room > 0:
                self.send(kind, text=decode(data[:room]))

    def drain(self):
        """Until everything written so far is on its way, so that outputs keep their order."""
        sys.stdout.flush()
        sys.stderr.flush()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            waiting = sum(
                struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0] for pipe in self.pipes
            )
            if not waiting:
                break
            time.sleep(0.001)
        time.sleep(0.002)  # the last piece is between its pipe and `send`
        with self.lock:
            pass

    # -- values --------------------------------------------------------------------------------------

    def display(self, *values):
        """Show values among the outputs, as a notebook's `display` does."""
        self.drain()
        for value in values:
            self.send("display", data=bundle(value))

    def figures(self):
        plot = sys.modules.get("matplotlib.pyplot")
        if plot is None:
            return
        for number in plot.get_fignums():
            figure = plot.figure(number)
            for dpi in (110, 60):
                file = io.BytesIO()
                figure.savefig(file, format="png", dpi=dpi, bbox_inches="tight")
                if len(file.getvalue()) <= MOST_IMAGE:
                    break
            else:
                continue
            image = base64.b64encode(file.getvalue()).decode()
            self.send("display", data={"image/png": image, "text/plain": text_of(figure)})
        plot.close("all")

    # -- running -------------------------------------------------------------------------------------

    def run(self):
        self.send("ready")
        while True:
            try:
                line = self.requests.readline()
            except KeyboardInterrupt:
                continue
            if not line:
                return
            request = json.loads(line)
            self.written = 0
            try:
                self.one(request["code"])
                self.drain()
                self.figures()
            except KeyboardInterrupt:
                self.drain()
                self.send("error", name="KeyboardInterrupt", text="KeyboardInterrupt")
            except SystemExit as error:
                self.drain()
                self.send("error", name="SystemExit", text=f"SystemExit: {error.code}. The session goes on.")
            except BaseException as error:
                self.drain()
                self.send("error", name=type(error).__name__, text=readable(error))
            self.drain()
            self.send("done", dropped=max(0, self.written - MOST_OUTPUT))

    def one(self, code):
        self.calls += 1
        name = f"{NAME[:-1]}-{self.calls}>"
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.evaluate(compile(tree, name, "exec", flags, dont_inherit=True))
        if last is None:
            return
        quiet = code.rstrip().endswith(";")
        value = self.evaluate(compile(ast.Expression(last.value), name, "eval", flags, dont_inherit=True))
        if value is not None and not quiet:
            self.namespace["_"] = value
            self.drain()
            self.send("result", data=bundle(value))

    def evaluate(self, code):
        value = eval(code, self.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                asyncio.set_event_loop(self.loop)
            return self.loop.run_until_complete(value)
        return value


def text_of(value):
    try:
        text = repr(value)
    except BaseException as error:
        text = f"<{type(value).__name__}, whose repr failed: {error!r}>"
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}… ({len(text):,} characters)"


def bundle(value):
    """The value as mime types: always text, and what it offers of HTML and images."""
    data = {"text/plain": text_of(value)}
    for mime, name, most in (
        ("text/html", "_repr_html_", MOST_HTML),
        ("image/png", "_repr_png_", MOST_IMAGE),
        ("image/svg+xml", "_repr_svg_", MOST_HTML),
    ):
        method = None if isinstance(value, type) else getattr(value, name, None)
        if method is None:
            continue
        try:
            shown = method()
        except Exception:
            continue
        if isinstance(shown, bytes):
            shown = base64.b64encode(shown).decode()
        if isinstance(shown, str) and len(shown) <= most:
            data[mime] = shown
    return data


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
