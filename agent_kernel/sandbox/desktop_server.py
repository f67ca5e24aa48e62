"""The desktop inside the sandbox: a screen, a window manager, a mouse, a keyboard, and a view of it for people.

Standard library only; its source is given to `python -c`. The first line of standard input is a token, the second how
to begin. Requests follow as JSON lines, frames go as JSON lines, each behind the token. The view is a page that speaks
RFB through a WebSocket; whoever reaches its port may use it.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PACKAGES = {"Xvfb": "xvfb", "xdotool": "xdotool", "scrot": "scrot", "x11vnc": "x11vnc"}
"""Programs, and the packages of Debian and its like that bring them."""
MANAGERS = ("openbox", "matchbox-window-manager", "fluxbox", "icewm", "xfwm4")
START, ACT = 20, 20
BACKGROUND = 0x2F3B4C
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEYS = {
    "enter": "Return", "return": "Return", "esc": "Escape", "escape": "Escape", "backspace": "BackSpace",
    "del": "Delete", "delete": "Delete", "tab": "Tab", "space": "space", "up": "Up", "down": "Down", "left": "Left",
    "right": "Right", "arrowup": "Up", "arrowdown": "Down", "arrowleft": "Left", "arrowright": "Right",
    "pageup": "Prior", "pagedown": "Next", "home": "Home", "end": "End", "insert": "Insert", "control": "ctrl",
    "cmd": "super", "meta": "super", "win": "super", "option": "alt",
}  # fmt: skip
CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
<theme><name>Clearlooks</name><titleLayout>NLIMC</titleLayout></theme>
<desktops><number>1</number></desktops>
<placement><policy>Smart</policy></placement>
<keyboard><keybind key="A-F4"><action name="Close"/></keybind>
<keybind key="A-Tab"><action name="NextWindow"/></keybind></keyboard>
<mouse>
<context name="Titlebar">
<mousebind button="Left" action="Drag"><action name="Move"/></mousebind>
<mousebind button="Left" action="DoubleClick"><action name="ToggleMaximize"/></mousebind></context>
<context name="Client"><mousebind button="Left" action="Press">
<action name="Focus"/><action name="Raise"/></mousebind></context>
<context name="Close"><mousebind button="Left" action="Click"><action name="Close"/></mousebind></context>
<context name="Maximize"><mousebind button="Left" action="Click"><action name="ToggleMaximize"/></mousebind></context>
<context name="Iconify"><mousebind button="Left" action="Click"><action name="Iconify"/></mousebind></context>
<context name="Bottom"><mousebind button="Left" action="Drag"><action name="Resize"/></mousebind></context>
<context name="BRCorner"><mousebind button="Left" action="Drag"><action name="Resize"/></mousebind></context>
</mouse>
</openbox_config>
"""


class Wrong(Exception):
    """Words for whoever asked."""


def missing_packages():
    missing = [PACKAGES[name] for name in PACKAGES if not shutil.which(name)]
    return missing if any(map(shutil.which, MANAGERS)) else [*missing, "openbox"]


class Desktop:
    def __init__(self):
        self.output = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        os.dup2(2, 1)
        self.token = sys.stdin.readline().strip()
        first = json.loads(sys.stdin.readline())
        self.size, self.page = first["size"], first["page"].encode()
        self.programs, self.lock, self.vnc = [], threading.Lock(), None
        self.manager = next(filter(shutil.which, MANAGERS), None)
        if missing := missing_packages():
            raise SystemExit("MISSING " + " ".join(missing))
        self.folder = tempfile.mkdtemp(prefix="desktop-")
        self.start(first["port"])

    # -- its start ---------------------------------------------------------------------------------------

    def start(self, port):
        self.display = self.start_screen()
        self.environment = {**os.environ, "DISPLAY": self.display}
        screen = Screen(self.display)
        screen.paint()
        config = os.path.join(self.folder, "rc.xml")
        with open(config, "w") as file:
            file.write(CONFIG)
        options = ["--config-file", config] if self.manager == "openbox" else []
        self.run_program([self.manager, *options])
        if not any(screen.is_managed(number) for number in range(1, START * 4)):
            raise SystemExit("The window manager did not start: " + self.said(1))
        screen.socket.close()
        handler = type("Handler", (View,), {"desktop": self})
        try:
            self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:
            self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def start_screen(self):
        os.makedirs("/tmp/.X11-unix", mode=0o1777, exist_ok=True)
        read, write = os.pipe()
        os.set_inheritable(write, True)
        screen = "{}x{}x24".format(*self.size)
        options = ["-displayfd", str(write), "-screen", "0", screen, "-nolisten", "tcp", "-noreset"]
        self.run_program(["Xvfb", *options], pass_fds=[write])
        os.close(write)
        with os.fdopen(read) as said:
            number = said.readline().strip()
        if not number:
            raise SystemExit("The screen did not start: " + self.said(0))
        return ":" + number

    def run_program(self, argv, **options):
        with open(os.path.join(self.folder, argv[0].rpartition("/")[2] + ".log"), "wb") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=getattr(self, "environment", None),
                **options,
            )
        self.programs.append((process, log.name))
        return process

    def said(self, index):
        with open(self.programs[index][1], errors="replace") as log:
            lines = [line for line in log.read().splitlines() if line.strip()]
        return lines[-1][-300:] if lines else "it gave no reason"

    # -- requests ------------------------------------------------------------------------------------------

    def send(self, kind, **said):
        self.output.write("\n" + self.token + json.dumps({"kind": kind, **said}) + "\n")
        self.output.flush()

    def run(self):
        self.send("ready", display=self.display, port=self.server.server_address[1], size=self.size)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                if self.programs[0][0].poll() is not None:
                    raise SystemExit("The screen has ended: " + self.said(0))
                self.send("done", **(getattr(self, "do_" + request.pop("do"))(**request) or {}))
            except Wrong as error:
                self.send("error", text=str(error))
            except subprocess.TimeoutExpired as error:
                self.send("error", text=f"{error.cmd[0]} took longer than {ACT} s.")

    def tool(self, *argv):
        done = subprocess.run(
            argv, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=ACT
        )
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        if done.returncode or "No such key" in said:
            raise Wrong(f"{argv[0]} says: {said}")

    def do_screenshot(self):
        place = os.path.join(self.folder, "screen.jpg")
        self.tool("scrot", "--overwrite", "--pointer", "--quality", "80", place)
        with open(place, "rb") as file:
            return {"image": base64.b64encode(file.read()).decode()}

    def do_click(self, x, y, button, count):
        number = {"left": "1", "middle": "2", "right": "3"}[button]
        self.tool(
            "xdotool", "mousemove", str(x), str(y), "click", "--repeat", str(count), "--delay", "60", number
        )

    def do_drag(self, x, y, to_x, to_y):
        self.tool(
            "xdotool",
            "mousemove",
            str(x),
            str(y),
            "mousedown",
            "1",
            "mousemove",
            str(to_x),
            str(to_y),
            "mouseup",
            "1",
        )

    def do_scroll(self, x, y, direction, amount):
        number = {"up": "4", "down": "5", "left": "6", "right": "7"}[direction]
        self.tool(
            "xdotool", "mousemove", str(x), str(y), "click", "--repeat", str(amount), "--delay", "20", number
        )

    def do_type(self, text):
        for part in (text[i : i + 200] for i in range(0, len(text), 200)):
            self.tool("xdotool", "type", "--clearmodifiers", "--delay", "6", "--", part)

    def do_key(self, keys):
        words = [KEYS.get(word.lower(), word) for word in keys.split("+")] if keys != "+" else ["plus"]
        self.tool("xdotool", "key", "--clearmodifiers", "--", "+".join(words))

    # -- the view ------------------------------------------------------------------------------------------

    def viewed(self):
        """A connection to the screen for somebody who looks; its server starts with the first."""
        place = os.path.join(self.folder, "vnc")
        with self.lock:
            if self.vnc is None or self.vnc.poll() is not None:
                self.vnc = self.run_program(
                    ["x11vnc", "-display", self.display, "-forever", "-shared", "-nopw", "-quiet", "-unixsock", place,
                     "-rfbport", "0", "-noipv6", "-noxrecord", "-nosel", "-noprimary", "-nobell", "-wait", "20",
                     "-defer", "20"]
                )  # fmt: skip
        end = time.monotonic() + START
        while True:
            made = socket.socket(socket.AF_UNIX)
            try:
                made.connect(place)
                return made
            except OSError:
                made.close()
                if time.monotonic() > end or self.vnc.poll() is not None:
                    raise
                time.sleep(0.03)

    def close(self):
        for process, _ in self.programs:
            try:
                process.send_signal(signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)


class View(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    desktop = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/websockify" and self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
            return
        found = path in ("/", "/index.html")
        body = self.desktop.page if found else b"There is only the desktop here."
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8" if found else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def websocket(self):
        key = self.headers.get("Sec-WebSocket-Key", "") + MAGIC
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header(
            "Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        )
        if "binary" in self.headers.get("Sec-WebSocket-Protocol", ""):
            self.send_header("Sec-WebSocket-Protocol", "binary")
        self.end_headers()
        self.close_connection = True
        try:
            screen = self.desktop.viewed()
        except OSError:
            return
        with screen:
            threading.Thread(target=self.outward, args=(screen,), daemon=True).start()
            try:
                self.inward(screen)
            except OSError:
                pass

    def outward(self, screen):
        try:
            while data := screen.recv(60_000):
                size = len(data)
                long = size > 125  # one recv gives less than 65,536
                head = struct.pack(">BBH", 0x82, 126, size) if long else bytes([0x82, size])
                self.connection.sendall(head + data)
            self.connection.sendall(b"\x88\x00")
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def inward(self, screen):
        """Frames of the browser: always masked, small."""
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                screen.shutdown(socket.SHUT_RDWR)
                return
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(self.rfile.read(2 if size == 126 else 8), "big")
            if size > 1 << 24:
                return
            mask = self.rfile.read(4)
            data = self.rfile.read(size)
            data = (
                int.from_bytes(data, "little") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "little")
            ).to_bytes(size, "little")
            if head[0] & 15 in (0, 1, 2):
                screen.sendall(data)


class Screen:
    """A few words of the X protocol itself: the programs that do this are in no small package."""

    def __init__(self, display):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("/tmp/.X11-unix/X" + display[1:])
        self.socket.sendall(struct.pack("<BxHHHHxx", 0x6C, 11, 0, 0, 0))
        head = self.receive(8)
        about = self.receive(struct.unpack("<H", head[6:])[0] * 4)
        vendor, formats = struct.unpack("<H", about[16:18])[0], about[21]
        at = 32 + (vendor + 3) // 4 * 4 + 8 * formats
        self.base, self.root = struct.unpack("<I", about[4:8])[0], struct.unpack("<I", about[at : at + 4])[0]

    def receive(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise SystemExit("The screen hung up.")
            data += piece
        return data

    def paint(self):
        """The background."""
        background = struct.pack("<BxHIII", 2, 4, self.root, 2, BACKGROUND)
        self.socket.sendall(background + struct.pack("<BxHIhhHH", 61, 4, self.root, 0, 0, 0, 0))

    def is_managed(self, number):
        """Whether the window manager cares for windows, which it does by a property: while it starts it loses some."""
        window = self.base + number
        create = struct.pack(
            "<BBHIIhhHHHHIII", 1, 0, 9, window, self.root, 0, 0, 1, 1, 0, 1, 0, 0x800, 1 << 22
        )
        self.socket.sendall(create + struct.pack("<BxHI", 8, 2, window))
        self.socket.settimeout(0.25)
        try:
            while self.receive(32)[0] & 127 != 28:
                pass
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(None)
            self.socket.sendall(struct.pack("<BxHI", 4, 2, window))


if __name__ == "__main__":
    desktop = Desktop()
    try:
        desktop.run()
    finally:
        desktop.close()
