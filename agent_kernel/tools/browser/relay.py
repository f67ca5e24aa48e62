"""What a browser inside the sandbox starts with: the program, and a way out for its pages alone. Standard library only;
`driver.py` is sent together with it.
"""

import glob
import os
import shutil
import socket
import threading
from urllib.parse import urlsplit

PROGRAMS = (
    "/usr/lib/chromium/chromium",
    "/usr/lib/chromium-browser/chromium-browser",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
    "/opt/chromium.org/chromium/chromium",
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "chromium-browser",
    "chrome",
)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
DOWNLOADED = ("/opt/ms-playwright", "/ms-playwright", "~/.cache/ms-playwright", "$PLAYWRIGHT_BROWSERS_PATH")
"""Where Playwright keeps the browsers it has downloaded."""


def find_program() -> "str | None":
    """A Chromium that is there, or None. Scripts that stand in for one are passed over: they want what is not here."""
    patterns = [
        os.path.join(os.path.expandvars(os.path.expanduser(place)), "chromium-*/chrome-linux*/chrome")
        for place in DOWNLOADED
    ]
    found = [shutil.which(program) for program in PROGRAMS]
    for path in [
        *found,
        *(path for pattern in patterns for path in sorted(glob.glob(pattern), reverse=True)),
    ]:
        try:
            with open(path or "", "rb") as file:
                if file.read(4) == b"\x7fELF":
                    return path
        except OSError:
            continue
    return None


def is_own(host):
    """Served inside the sandbox: no proxy, no person asked."""
    return host in LOOPBACK or host.endswith(".localhost") or host.startswith("127.")


def host_of(url):
    return (url.hostname or "").rstrip(".")


def port_of(url):
    try:
        return url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        return 80


class Relay:
    """Stands between the browser and the sandbox's way out. What the browser wants on its own account, of its maker
    above all, was let through by nobody, and nobody is asked about it."""

    def __init__(self, proxy):
        self.proxy, self.passed = proxy, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(client,), daemon=True).start()

    def one(self, client):
        with client:
            try:
                head = b""
                while b"\r\n\r\n" not in head and len(head) < 1 << 16:
                    data = client.recv(1 << 16)
                    if not data:
                        return
                    head += data
                if b" /" in head[:10]:  # somebody looks what is served here
                    client.sendall(b"This is no server.\n")
                    return
                if self.wanted(head) not in self.passed:
                    client.sendall(
                        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )
                    return
                with socket.create_connection((self.proxy.hostname, self.proxy.port)) as out:
                    out.sendall(head)
                    back = threading.Thread(target=pump, args=(out, client), daemon=True)
                    back.start()
                    pump(client, out)
                    back.join()
            except (OSError, ValueError):
                pass  # one of the two has left

    @staticmethod
    def wanted(head):
        method, target, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)
        url = urlsplit("https://" + target if method == "CONNECT" else target)
        return f"{host_of(url)}:{port_of(url)}"


def pump(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
