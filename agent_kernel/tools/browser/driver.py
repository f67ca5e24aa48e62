"""The browser inside the sandbox, driven over its pipe. Standard library only; its source is given to `python -c`.

The first line of standard input is a token, the second how to begin. Requests follow as JSON lines; frames go as JSON
lines, each behind the token. One thread: while a request is worked on, and while nobody wants anything, what the
browser says is heard. What a page requests of the network is held until its host is known to be allowed, and between
requests of ours it is held whatever it is: a page does nothing on its own while nobody looks.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from urllib.parse import urlsplit

from agent_kernel.tools.browser.relay import Relay, find_program, host_of, is_own, port_of

FLAGS = (
    "--headless=new",
    "--no-startup-window",
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--mute-audio",
    "--hide-scrollbars",
    "--disable-quic",
    "--disable-domain-reliability",
    "--disable-client-side-phishing-detection",
    "--disable-site-isolation-trials",
    "--disk-cache-size=52428800",
    "--password-store=basic",
    "--use-mock-keychain",
    "--disable-features=site-per-process,IsolateOrigins,BackForwardCache,Translate,OptimizationHints,MediaRouter,"
    "HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,InterestFeedContentSuggestions,PreconnectToSearch,PreconnectToSearchDesktop,NavigationPredictor,SearchPrefetch,LensOverlay,GlobalMediaControls,PrivacySandboxSettings4",
)
# It connects to nobody in advance, and has no search engine of its maker's to be ready for.
PREFERENCES = {
    "net": {"network_prediction_options": 2},
    "search": {"suggest_enabled": False},
    "safebrowsing": {"enabled": False},
    "alternate_error_pages": {"enabled": False},
    "signin": {"allowed": False},
}
WORLD = "agent-kernel"
MOST_NOTES, MOST_HELD, MOST_TALL = 8, 500, 7800
KEYS = {
    "Enter": (13, "\r"),
    "Tab": (9, ""),
    "Escape": (27, ""),
    "Backspace": (8, ""),
    "ArrowDown": (40, ""),
    "ArrowUp": (38, ""),
    "PageDown": (34, ""),
    "PageUp": (33, ""),
    "End": (35, ""),
    "Home": (36, ""),
}


class Wrong(Exception):
    """Words for whoever asked."""


class Stopped(Exception):
    pass


class Page:
    def __init__(self, session, target):
        self.session, self.target, self.frame = session, target, ""
        self.url, self.status, self.crashed = "about:blank", None, False
        self.document, self.loaded = "", {""}
        self.busy, self.failed, self.idle, self.broken = {}, "", False, False

    @property
    def loading(self):
        """Whether the document that is wanted is still on its way."""
        return self.document not in self.loaded

    def expect(self, document):
        self.document, self.idle = document, False

    def arrived(self):
        self.loaded = {self.document}


class Driver:
    def __init__(self):
        self.source = b""
        self.output = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        os.dup2(2, 1)
        self.token = self.line().decode().strip()
        self.first = json.loads(self.line())
        self.waiting = b""
        self.number, self.answers = 0, {}
        self.pages, self.closed = [], False
        self.working, self.stopping = False, False
        self.verdicts, self.held, self.asked = {}, {}, {}
        self.later = []
        self.notes, self.refused, self.downloads, self.clock = [], {}, {}, 0.0
        self.start()

    # -- frames ----------------------------------------------------------------------------------------

    def listen(self):
        """What whoever drives us has sent; without them there is nothing to do."""
        data = os.read(0, 1 << 16)
        if not data:
            raise SystemExit(0)
        self.source += data

    def line(self):
        while b"\n" not in self.source:
            self.listen()
        found, _, self.source = self.source.partition(b"\n")
        return found

    def send(self, kind, **said):
        self.output.write("\n" + self.token + json.dumps({"kind": kind, **said}) + "\n")
        self.output.flush()

    # -- the browser -------------------------------------------------------------------------------------

    def start(self):
        program = find_program()
        if program is None:
            raise SystemExit("There is no Chromium here.")
        ours = []
        pair = [os.pipe(), os.pipe()]
        theirs_in, self.write = high(pair[0][0], ours), high(pair[0][1], ours)
        self.read, theirs_out = high(pair[1][0], ours), high(pair[1][1], ours)
        for end in (*pair[0], *pair[1]):
            os.close(end)
        self.folder = tempfile.mkdtemp(prefix="browser-")
        log = os.path.join(self.folder, "log")
        os.makedirs(os.path.join(self.folder, "Default"))
        with open(os.path.join(self.folder, "Default", "Preferences"), "w") as file:
            json.dump(PREFERENCES, file)
        options = [
            *FLAGS,
            "--user-data-dir=" + self.folder,
            "--window-size={},{}".format(*self.first["size"]),
        ]
        proxy = urlsplit(os.environ.get("http_proxy", ""))
        self.relay = Relay(proxy) if proxy.hostname else None
        own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment = {
            **own,
            "HOME": self.folder,
            "XDG_CONFIG_HOME": self.folder,
            "XDG_CACHE_HOME": self.folder,
        }
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        ]
        self.pid = os.posix_spawn(program, [program, *options], environment, file_actions=actions)
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            made = self.call(
                "Target.createBrowserContext",
                None,
                seconds=25,
                **({"proxyServer": self.relay.url} if self.relay else {}),
            )
            self.context = made["browserContextId"]
            self.tell(
                "Target.setAutoAttach", None, autoAttach=True, waitForDebuggerOnStart=True, flatten=True
            )
            self.new_tab()
        except (Wrong, EOFError):
            with open(log, errors="replace") as file:
                said = [line for line in file.read().splitlines() if line.strip()]
            raise SystemExit(
                "Chromium did not start: %s" % (said[-1][-300:] if said else "it gave no reason")
            ) from None
        self.tell(
            "Browser.setDownloadBehavior",
            None,
            behavior="allow",
            browserContextId=self.context,
            downloadPath=self.first["downloads"],
            eventsEnabled=True,
        )
        self.wait(lambda: self.pages, 20)

    def new_tab(self):
        self.tell("Target.createTarget", None, url="about:blank", browserContextId=self.context)

    def run(self):
        self.send("ready")
        while True:
            request = json.loads(self.idle())
            if request.get("do") in (None, "stop"):
                continue  # it came too late: what it is about is done
            self.begin()
            try:
                said = getattr(self, "do_" + request.pop("do"))(**request)
                self.send("done", **self.state(), **(said or {}))
            except Stopped:
                self.send("error", text="Stopped.", **self.state())
            except Wrong as error:
                self.send("error", text=str(error), **self.state())
            finally:
                self.rest()

    def idle(self):
        while b"\n" not in self.source:
            ready, _, _ = select.select([0, self.read], [], [])
            if self.read in ready:
                self.hear()
            if 0 in ready:
                self.listen()
        return self.line()

    def begin(self):
        """Before each request: what was held meanwhile is looked at again."""
        self.working, self.stopping = True, False
        self.verdicts, self.refused = {}, {}
        later, self.later = self.later, []
        for page, event in later:
            self.decide(page, event)

    def rest(self):
        """What nobody has answered yet is asked again with the next request."""
        self.working = False
        self.later += [(page, event) for held in self.held.values() for page, event, _ in held]
        self.held, self.asked = {}, {}

    def state(self):
        page = self.pages[-1] if self.pages else None
        try:
            title = self.ask_page("title", seconds=2) if page and not page.crashed else ""
        except (Wrong, Stopped, EOFError):
            title = ""
        notes, self.notes = self.notes, []
        done = [
            self.downloads.pop(guid)
            for guid in list(self.downloads)
            if self.downloads[guid][1] != "inProgress"
        ]
        refused, self.refused = self.refused, {}
        return {
            "url": page.url if page else "",
            "broken": bool(page and page.broken),
            "title": title,
            "status": page.status if page else None,
            "notes": notes,
            "refused": refused,
            "downloads": done,
            "tabs": len(self.pages),
        }

    def tell(self, method, session, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        return self.number

    def call(self, method, session, seconds=15.0, **params):
        number = self.tell(method, session, **params)
        self.answers[number] = None
        try:
            if not self.wait(lambda: self.answers[number] is not None, seconds):
                raise Wrong(f"The browser did not answer within {seconds:g} s ({method}).")
            answer = self.answers[number]
        finally:
            del self.answers[number]
        if "error" in answer:
            raise Wrong("The browser says: {}".format(answer["error"].get("message", "?")))
        return answer["result"]

    def wait(self, holds, seconds):
        """Until it holds. While a person is asked no time passes."""
        end = time.monotonic() + seconds
        while not holds():
            now = time.monotonic()
            if now >= end:
                return False
            waits = [0, self.read] if self.working else [self.read]
            ready, _, _ = select.select(waits, [], [], min(0.1, end - now))
            if self.read in ready:
                self.hear()
            if 0 in ready:
                self.listen()
                while b"\n" in self.source:
                    self.answered(json.loads(self.line()))
            if self.stopping:
                raise Stopped
            if any(self.asked.values()):
                end += time.monotonic() - now
        return True

    def hear(self):
        data = os.read(self.read, 1 << 20)
        if not data:
            raise EOFError
        self.waiting += data
        *whole, self.waiting = self.waiting.split(b"\0")
        for part in whole:
            message = json.loads(part)
            if "id" in message:
                if message["id"] in self.answers:
                    self.answers[message["id"]] = message
            else:
                page = next((p for p in self.pages if p.session == message.get("sessionId")), None)
                handler = getattr(self, "on_" + message["method"].replace(".", "_"), None)
                if handler:
                    handler(page, message["params"])

    # -- what it says --------------------------------------------------------------------------------------

    def on_Target_attachedToTarget(self, _, event):
        session, about = event["sessionId"], event["targetInfo"]
        if about["type"] == "page" and about.get("browserContextId") == self.context:
            page = Page(session, about["targetId"])
            page.frame = about["targetId"]
            width, height = self.first["size"]
            for method, params in (
                ("Page.enable", {}),
                ("Runtime.enable", {}),
                ("Page.setLifecycleEventsEnabled", {"enabled": True}),
                ("Network.enable", {"maxTotalBufferSize": 1 << 20, "maxResourceBufferSize": 1 << 18}),
                ("Fetch.enable", {"patterns": [{"urlPattern": "*"}]}),
                (
                    "Emulation.setDeviceMetricsOverride",
                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
                ),
                (
                    "Target.setAutoAttach",
                    {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True},
                ),
            ):
                self.tell(method, session, **params)
            if self.pages:
                self.note("A new tab was opened and is shown now.")
            self.pages.append(page)
        self.tell("Runtime.runIfWaitingForDebugger", session)

    def on_Target_detachedFromTarget(self, _, event):
        gone = [page for page in self.pages if page.session == event["sessionId"]]
        for page in gone:
            self.pages.remove(page)
            self.note("A tab was closed.")
        if gone and not self.pages:
            self.new_tab()

    def on_Inspector_targetCrashed(self, page, event):
        if page:
            page.crashed = True

    def on_Page_frameNavigated(self, page, event):
        frame = event["frame"]
        if page and "parentId" not in frame:
            page.frame, page.broken = frame["id"], "unreachableUrl" in frame
            page.url = frame.get("unreachableUrl") or frame["url"] + frame.get("urlFragment", "")
            if page.document != frame["loaderId"]:
                page.expect(frame["loaderId"])

    def on_Page_navigatedWithinDocument(self, page, event):
        if page and event["frameId"] == page.frame:
            page.url = event["url"]

    def on_Page_frameStartedNavigating(self, page, event):
        if (
            page
            and event["frameId"] == page.frame
            and event.get("navigationType") not in ("sameDocument", "historySameDocument")
        ):
            page.expect(event["loaderId"])

    def on_Page_frameStoppedLoading(self, page, event):
        if page and event["frameId"] == page.frame:
            page.arrived()  # or never will: it was a download, or was broken off

    def on_Page_lifecycleEvent(self, page, event):
        if page and event["frameId"] == page.frame:
            if event["name"] == "load":
                page.loaded.add(event["loaderId"])
            if event["loaderId"] == page.document and event["name"] in ("networkIdle", "networkAlmostIdle"):
                page.idle = True

    def on_Page_javascriptDialogOpening(self, page, event):
        kind = event["type"]
        accept = kind in ("alert", "beforeunload")
        if kind != "beforeunload":
            done = "" if kind == "alert" else ", and was answered with Cancel"
            self.note("The page showed a dialog ({}){}: {}".format(kind, done, event["message"][:300]))
        self.tell("Page.handleJavaScriptDialog", page.session, accept=accept)

    def on_Network_requestWillBeSent(self, page, event):
        if page and event.get("type") not in ("Ping", "EventSource", "Media", "Image"):
            page.busy[event["requestId"]] = time.monotonic()

    def on_Network_responseReceived(self, page, event):
        if page and event["type"] == "Document" and event.get("frameId") == page.frame:
            page.status = event["response"]["status"]

    def on_Network_loadingFinished(self, page, event):
        if page:
            page.busy.pop(event["requestId"], None)

    def on_Network_loadingFailed(self, page, event):
        if page:
            page.busy.pop(event["requestId"], None)

    def on_Runtime_exceptionThrown(self, page, event):
        details = event["exceptionDetails"]
        words = details.get("exception", {}).get("description") or details.get("text", "")
        self.note("Error in the page: " + " ".join(words.split())[:300])

    def on_Runtime_consoleAPICalled(self, page, event):
        if event["type"] in ("error", "assert"):
            words = [str(arg.get("value", arg.get("description", ""))) for arg in event["args"]]
            self.note("Console error: " + " ".join(" ".join(words).split())[:300])

    def on_Browser_downloadWillBegin(self, _, event):
        self.downloads[event["guid"]] = [event["suggestedFilename"], "inProgress", event["guid"]]

    def on_Browser_downloadProgress(self, _, event):
        if event["guid"] in self.downloads:
            self.downloads[event["guid"]][1] = event["state"]

    def on_Fetch_requestPaused(self, page, event):
        self.decide(page, event)

    # -- who may be reached --------------------------------------------------------------------------------

    def decide(self, page, event):
        if page is None or "responseStatusCode" in event or "responseErrorReason" in event:
            self.pass_on(event, page)
            return
        url = urlsplit(event["request"]["url"])
        host = host_of(url)
        if url.scheme in ("data", "blob", "about") or (url.scheme in ("http", "https") and is_own(host)):
            self.pass_on(event, page)
        elif url.scheme == "file":
            own = (
                event["resourceType"] == "Document" and event["frameId"] == page.frame
            ) or page.url.startswith("file:")
            self.pass_on(event, page) if own else self.refuse(event, page, "")
        elif url.scheme not in ("http", "https"):
            self.refuse(event, page, "")
        elif not self.working:
            if len(self.later) < MOST_HELD:
                self.later.append((page, event))
            else:
                self.refuse(event, page, host)
        else:
            self.look_up(page, event, host, port_of(url))

    def look_up(self, page, event, host, port):
        document = event["resourceType"] == "Document" and event["frameId"] == page.frame
        here = host_of(urlsplit(page.url)) == host
        place = f"{host}:{port}"
        key = place + ("" if document or here else "?")
        verdict = self.verdicts.get(key)
        if verdict is not None:
            self.pass_on(event, page) if verdict else self.refuse(event, page, host)
            return
        self.held.setdefault(key, []).append((page, event, host))
        if key not in self.asked:
            self.asked[key] = document or here
            # the whole address only where it is the page itself: that is what a person understands
            self.send(
                "ask",
                key=key,
                host=host,
                port=port,
                quiet=not (document or here),
                url=event["request"]["url"] if document else "",
            )

    def answered(self, said):
        if said.get("do") == "stop":
            self.stopping = True
            return
        key = said.get("key")
        if key not in self.asked:
            return
        self.asked[key] = False
        self.verdicts[key] = said["allow"]
        if said["allow"] and self.relay:
            self.relay.passed.add(key.rstrip("?"))
        for page, event, host in self.held.pop(key, []):
            if said["allow"]:
                self.pass_on(event, page)
            else:
                self.refuse(event, page, host, said.get("why", ""))

    def pass_on(self, event, page):
        self.tell("Fetch.continueRequest", page.session if page else None, requestId=event["requestId"])

    def refuse(self, event, page, host, why=""):
        if event["resourceType"] == "Document" and event["frameId"] == page.frame:
            page.failed = why or "%s was not allowed." % (host or event["request"]["url"][:200])
        elif host:
            self.refused[host] = self.refused.get(host, 0) + 1
        self.tell(
            "Fetch.failRequest", page.session, requestId=event["requestId"], errorReason="BlockedByClient"
        )

    # -- asking the page -------------------------------------------------------------------------------------

    def page(self):
        if not self.wait(lambda: self.pages, 10):
            raise Wrong("The browser has no page. Navigate somewhere first.")
        page = self.pages[-1]
        if page.crashed:
            self.tell("Target.closeTarget", None, targetId=page.target)
            raise Wrong("The page has crashed (it may have used too much memory). Navigate again.")
        return page

    def ask_page(self, what, seconds=6.0, **args):
        """What `page.js` says, in a world of its own: scripts of the page neither see nor change it."""
        page = self.page()
        for attempt in (0, 1, 2):
            try:
                world = self.call(
                    "Page.createIsolatedWorld",
                    page.session,
                    seconds=seconds,
                    frameId=page.frame,
                    worldName=WORLD,
                    grantUniveralAccess=True,
                )["executionContextId"]
                expression = "(globalThis.__agent ??= {}).{}({})".format(
                    self.first["script"],
                    what,
                    json.dumps(args),
                )
                said = self.call(
                    "Runtime.evaluate",
                    page.session,
                    seconds=seconds,
                    expression=expression,
                    contextId=world,
                    returnByValue=True,
                    awaitPromise=True,
                    userGesture=True,
                )
                break
            except Wrong as error:
                if "did not answer" in str(error):
                    self.tell("Runtime.terminateExecution", page.session)
                    raise Wrong(
                        "The page is busy and does not answer; it may be in an endless loop. Navigate again."
                    ) from None
                if attempt == 2:
                    raise
                self.wait(lambda: False, 0.2)  # it is between two documents
                page = self.page()
        if "exceptionDetails" in said:
            raise Wrong(
                "The page could not be read: {}".format(
                    said["exceptionDetails"].get("exception", {}).get("description", "?")[:300]
                )
            )
        return said["result"].get("value")

    def find(self, selector, seconds, want="point"):
        """The element, once it is there and can be used. Raises Wrong with what is there instead."""
        end = time.monotonic() + seconds
        while True:
            found = self.ask_page(want, selector=selector)
            if "problem" not in found or found.get("final"):
                break
            if time.monotonic() > end:
                break
            self.wait(lambda: False, 0.15)
        if "problem" in found:
            raise Wrong(found["problem"])
        return found

    def settle(self, page, seconds):
        """Until what was begun has arrived: a page that loads, requests that are under way."""
        loaded = self.wait(lambda: not page.loading or page not in self.pages, seconds)
        page = self.pages[-1] if self.pages else page
        self.wait(lambda: page.idle or not page.busy, 1.5)
        return loaded

    def act(self, seconds, before):
        """After a click or a key: a new page is waited for, and so is what the page fetches."""
        self.wait(lambda: False, 0.12)
        page = self.page()
        if page is not before:
            self.wait(lambda: page.url != "about:blank" or page.failed, 2)
        self.settle(page, seconds)
        now = time.monotonic()
        for key, since in list(page.busy.items()):
            if now - since > 5:
                del page.busy[key]  # a stream: it does not end
        self.wait(lambda: not page.busy and not page.loading, 3)
        page = self.page()
        if page.failed:
            failed, page.failed = page.failed, ""
            raise Wrong("The page wanted to go elsewhere: " + failed)

    # -- requests -------------------------------------------------------------------------------------------

    def do_navigate(self, url, timeout):
        page = self.page()
        page.failed, page.status = "", None
        page.busy.clear()
        if url in ("back", "forward", "reload"):
            self.history(page, url)
            self.act(timeout, page)
            return
        said = self.call("Page.navigate", page.session, seconds=timeout, url=url)
        failed, page.failed = page.failed, ""
        problem = said.get("errorText", "")
        if problem == "net::ERR_ABORTED":
            page.arrived()
            self.wait(lambda: any(d[1] == "completed" for d in self.downloads.values()), timeout)
            if not self.downloads:
                raise Wrong(f"{url[:300]} was not loaded: the server sent nothing to show.")
            return
        if problem:
            page.arrived()
            raise Wrong(failed or f"{url[:300]} cannot be loaded: {reason(problem, url)}")
        if said.get("loaderId"):  # else it is another place of the same page
            page.expect(said["loaderId"]) if page.document != said["loaderId"] else None
        if not self.settle(page, timeout):
            self.note(f"The page is still loading after {timeout:g} s; what is there already is shown.")

    def history(self, page, where):
        if where == "reload":
            self.tell("Page.reload", page.session)
            return
        known = self.call("Page.getNavigationHistory", page.session)
        index = known["currentIndex"] + (1 if where == "forward" else -1)
        if not 0 <= index < len(known["entries"]) or known["entries"][index]["url"] == "about:blank":
            raise Wrong(f"There is no page to go {where} to.")
        self.tell("Page.navigateToHistoryEntry", page.session, entryId=known["entries"][index]["id"])
        self.wait(lambda: page.loading, 0.5)

    def do_extract(self, selector, most):
        found = self.find(selector, 3, "extract") if selector else self.ask_page("extract", selector="")
        return {"text": found["text"][:most], "whole": len(found["text"])}

    def do_click(self, selector, timeout, count=1):
        page = self.page()
        found = self.find(selector, min(timeout, 8))
        place = {"x": found["x"], "y": found["y"]}
        self.tell("Input.dispatchMouseEvent", page.session, type="mouseMoved", **place)
        for number in range(1, count + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.tell(
                    "Input.dispatchMouseEvent",
                    page.session,
                    type=kind,
                    button="left",
                    clickCount=number,
                    **place,
                )
        self.act(timeout, page)
        return {"found": found["name"], "matches": found["matches"]}

    def do_type(self, selector, text, submit, clear, timeout):
        page = self.page()
        found = self.find(selector, min(timeout, 8), "point")
        filled = self.ask_page("fill", selector=selector, text=text, clear=clear)
        if "problem" in filled:
            raise Wrong(filled["problem"])
        if filled["kind"] == "text":
            if text:
                self.call("Input.insertText", page.session, text=text)
            elif clear:
                self.key(page, "Backspace")
        if submit:
            self.key(page, "Enter")
        self.act(timeout, page)
        return {"found": found["name"], "matches": found["matches"], "value": filled.get("value", "")}

    def key(self, page, name):
        code, text = KEYS[name]
        about = {"key": name, "code": name, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
        self.tell(
            "Input.dispatchKeyEvent",
            page.session,
            type="keyDown",
            **about,
            **({"text": text} if text else {}),
        )
        self.tell("Input.dispatchKeyEvent", page.session, type="keyUp", **about)

    def do_screenshot(self, selector, full):
        page = self.page()
        options = {"format": "jpeg", "quality": 80, "optimizeForSpeed": True}
        if selector:
            found = self.find(selector, 3, "box")
            options["clip"] = {**found["box"], "scale": 1}
            options["captureBeyondViewport"] = True
        elif full:
            size = self.call("Page.getLayoutMetrics", page.session)["cssContentSize"]
            height = min(size["height"], MOST_TALL)
            options["clip"] = {
                "x": 0,
                "y": 0,
                "width": min(size["width"], MOST_TALL),
                "height": height,
                "scale": 1,
            }
            options["captureBeyondViewport"] = True
            if size["height"] > height:
                self.note(f"The page is {size['height']} pixels tall; the picture ends at {height}.")
        data = self.call("Page.captureScreenshot", page.session, seconds=30, **options)["data"]
        return {"image": data}

    def do_wait_for(self, selector, text, gone, url, timeout):
        page, end = self.page(), time.monotonic() + timeout
        while True:
            page = self.page()
            here = not url or url in page.url
            seen = (
                self.ask_page("seen", selector=selector, text=text) if selector or text else {"there": True}
            )
            if seen.get("problem"):
                raise Wrong(seen["problem"])
            if here and seen["there"] != gone:
                return
            if time.monotonic() > end:
                what = " and ".join(
                    filter(
                        None,
                        (
                            selector and f"selector {selector}",
                            text and f"text {text!r}",
                            url and f"address with {url}",
                        ),
                    )
                )
                raise Wrong(
                    "{} {} after {:g} s. Look with browser_screenshot or browser_extract.".format(
                        what, "is still there" if gone else "did not appear", timeout
                    )
                )
            self.wait(lambda: False, 0.2)

    def note(self, text):
        if len(self.notes) < MOST_NOTES and text not in self.notes:
            self.notes.append(text)

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except (ProcessLookupError, AttributeError):
            pass
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)


def high(end, kept):
    """The same pipe under a number that is not in the way of 3 and 4."""
    found = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    kept.append(found)
    return found


def reason(problem, url):
    words = {
        "ERR_CONNECTION_REFUSED": "nothing listens there. Start the server first (bash, background).",
        "ERR_NAME_NOT_RESOLVED": "there is no such host.",
        "ERR_TUNNEL_CONNECTION_FAILED": "the host could not be reached, or may not be.",
        "ERR_EMPTY_RESPONSE": "the server hung up without an answer.",
        "ERR_INVALID_URL": "that is no address.",
        "ERR_FILE_NOT_FOUND": "there is no such file.",
        "ERR_UNSAFE_PORT": "browsers do not open this port.",
        "ERR_TIMED_OUT": "it did not answer in time.",
        "ERR_CERT_AUTHORITY_INVALID": "its certificate is not trusted.",
    }
    name = problem.replace("net::", "")
    return words.get(name, name + ".")


if __name__ == "__main__":
    driver = None
    try:
        driver = Driver()
        driver.run()
    except EOFError:
        raise SystemExit("Chromium ended.") from None
    finally:
        if driver is not None:
            driver.close()
