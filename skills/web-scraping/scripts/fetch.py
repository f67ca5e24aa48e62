#!/usr/bin/env python3
"""Fetches web pages politely and keeps them as files; prints one JSON object a page.

usage: fetch.py URL … [--out pages] [--delay 1] [--follow] [--most 20] [--again]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener
from urllib.robotparser import RobotFileParser

AGENT = "agent-kernel-web-scraping/1 (+https://agentskills.io)"
MOST_BYTES = 20 << 20
TIMEOUT, TRIES, LONGEST_WAIT, MOST_REDIRECTS = 30, 3, 60.0, 5
BUSY = (429, 502, 503, 504)
NEXT_WORDS = re.compile(r"(next|next page|older|›|»|→|weiter|suivant|siguiente)( *[›»→>]+)?", re.IGNORECASE)


class Refused(Exception):
    """A page that is not fetched; the text says why."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is a new address: it has to be allowed like any other."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


@dataclass
class Page:
    url: str
    status: int
    kind: str
    data: bytes


class Reader(HTMLParser):
    """The title of a page, and where it says that it goes on."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = self.next = ""
        self._said_next = ""
        self._in_title = False
        self._link: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "title":
            self._in_title = True
        if tag in ("a", "link") and "href" in values:
            if "next" in values.get("rel", "").lower().split():
                self.next = self.next or values["href"]
            if tag == "a":
                self._link, self._text = values["href"], values.get("aria-label", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag == "a" and self._link is not None:
            if NEXT_WORDS.fullmatch(" ".join(self._text.split())):
                self._said_next = self._said_next or self._link
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        if self._link is not None:
            self._text += data

    def follows(self, base: str) -> str:
        """The address of the next page; empty for none, and for one of another site."""
        target = self.next or self._said_next
        if not target:
            return ""
        found = urldefrag(urljoin(base, target))[0]
        return found if urlsplit(found)[:2] == urlsplit(base)[:2] else ""


@dataclass
class Fetcher:
    """Knows what each site allows and when it was last asked."""

    delay: float = 1.0
    opener: OpenerDirector = field(default_factory=lambda: build_opener(_NoRedirect))
    rules: dict[str, RobotFileParser] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def page(self, url: str) -> Page:
        """Raises Refused."""
        for _ in range(MOST_REDIRECTS + 1):
            self._allowed(url)
            page, target = self._patiently(url)
            if not target:
                return page
            url = urljoin(url, target)
        raise Refused(f"redirected more than {MOST_REDIRECTS} times")

    def _allowed(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused("not an http(s) address")
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self.rules:
            self.rules[site] = self._rules(site)
        if not may_fetch(self.rules[site], url):
            raise Refused("refused by robots.txt")

    def _rules(self, site: str) -> RobotFileParser:
        """What a site allows: all where it has no rules, nothing where they are kept from us or it fails."""
        rules: Any = RobotFileParser()
        page, target = self._patiently(f"{site}/robots.txt")
        for _ in range(MOST_REDIRECTS):
            if not target:
                break
            page, target = self._patiently(urljoin(page.url, target))
        if page.status == 200:
            rules.parse(page.data.decode("utf-8", "replace").splitlines())
        elif page.status in (401, 403) or page.status >= 500:
            rules.disallow_all = True
        else:
            rules.allow_all = True
        return cast("RobotFileParser", rules)

    def _patiently(self, url: str) -> tuple[Page, str]:
        """A page, or where it has gone; tried again while the site is busy."""
        wait = self.delay
        for attempt in range(1, TRIES + 1):
            self._wait(url)
            page, headers = self._once(url)
            if page.status not in BUSY or attempt == TRIES:
                break
            wait = min(LONGEST_WAIT, max(2 * wait, _seconds(headers.get("Retry-After"))))
            time.sleep(wait)
        moved = page.status in (301, 302, 303, 307, 308)
        return page, headers.get("Location", "") if moved else ""

    def _wait(self, url: str) -> None:
        """As long as we were told, or as the site asks, since its last page."""
        parts = urlsplit(url)
        rules = self.rules.get(f"{parts.scheme}://{parts.netloc}")
        asked = rules.crawl_delay(AGENT) if rules and rules.mtime() else None
        pause = max(self.delay, min(float(asked or 0), LONGEST_WAIT))
        if (last := self.last.get(parts.netloc)) is not None:
            time.sleep(max(0.0, last + pause - time.monotonic()))
        self.last[parts.netloc] = time.monotonic()

    def _once(self, url: str) -> tuple[Page, Message]:
        request = Request(url, headers={"User-Agent": AGENT, "Accept": "text/html,*/*;q=0.5"})
        try:
            try:
                response = self.opener.open(request, timeout=TIMEOUT)
            except HTTPError as error:
                response = error
            with response:
                data = response.read(MOST_BYTES + 1)
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise Refused(f"not reached: {getattr(error, 'reason', error)}") from None
        if len(data) > MOST_BYTES:
            raise Refused(f"larger than {MOST_BYTES >> 20} MB")
        return Page(url, response.status, response.headers.get_content_type(), data), response.headers


def may_fetch(rules: Any, url: str) -> bool:
    """The longest rule that matches decides, with `*` and `$`; Python's own reader knows neither."""
    if rules.disallow_all or rules.allow_all:
        return bool(rules.allow_all)
    entry = next((entry for entry in rules.entries if entry.applies_to(AGENT)), rules.default_entry)
    parts = urlsplit(url)
    path = quote(unquote(parts.path or "/")) + (
        f"?{quote(unquote(parts.query), safe='=&')}" if parts.query else ""
    )
    found = [
        (len(rule.path), rule.allowance)
        for rule in (entry.rulelines if entry else ())
        if re.match(_pattern(rule.path), path)
    ]
    return bool(max(found)[1]) if found else True


def _pattern(path: str) -> str:
    text = re.sub(r"\*+", "*", path.replace("%2A", "*").replace("%24", "$"))
    end = "$" if text.endswith("$") else ""
    return ".*".join(map(re.escape, text.removesuffix("$").split("*"))) + end


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0


def ending(kind: str) -> str:
    known = {"text/html": "html", "application/json": "json", "text/csv": "csv", "application/pdf": "pdf"}
    return known.get(kind, "txt" if kind.startswith("text/") else "bin")


def read(page: Page) -> Reader:
    reader = Reader()
    if page.kind in ("text/html", "application/xhtml+xml"):
        reader.feed(page.data.decode("utf-8", "replace"))
    return reader


class Shelf:
    """Pages as files of one folder, with an index of what was fetched."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder, folder / "index.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        lines = self.index.read_text(encoding="utf-8").splitlines() if self.index.exists() else []
        self.known: dict[str, dict[str, Any]] = {entry["asked"]: entry for entry in map(json.loads, lines)}
        self.count = len(lines)

    def put(self, asked: str, page: Page) -> dict[str, Any]:
        self.count += 1
        file = self.folder / f"{self.count:04}.{ending(page.kind)}"
        file.write_bytes(page.data)
        reader = read(page)
        entry = {
            "asked": asked,
            "url": page.url,
            "status": page.status,
            "file": str(file),
            "title": " ".join(reader.title.split())[:200],
            "next": reader.follows(page.url),
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with self.index.open("a", encoding="utf-8") as index:
            index.write(json.dumps(entry) + "\n")
        self.known[asked] = entry
        return entry


def crawl(given: argparse.Namespace) -> int:
    """Fetch what was asked for and (told so) what follows; the number of pages that failed."""
    fetcher, shelf = Fetcher(given.delay), Shelf(given.out)
    waiting, seen, failed = list(given.urls), set[str](), 0
    while waiting and len(seen) < given.most:
        url = urldefrag(waiting.pop(0))[0]
        if url in seen:
            continue
        seen.add(url)
        entry = None if given.again else shelf.known.get(url)
        try:
            told = {**entry, "cached": True} if entry else shelf.put(url, fetcher.page(url))
        except Refused as error:
            told = {"url": url, "error": str(error)}
        failed += "error" in told or told["status"] >= 400
        print(json.dumps({key: value for key, value in told.items() if key != "asked"}), flush=True)
        if given.follow and told.get("next"):
            waiting.append(told["next"])
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch web pages politely.")
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument(
        "--out", type=Path, default=Path("pages"), help="folder for the pages (default: pages)"
    )
    parser.add_argument(
        "--delay", type=float, default=1.0, help="seconds between requests to a site (default: 1)"
    )
    parser.add_argument("--follow", action="store_true", help="go on to the next page, and the next")
    parser.add_argument("--most", type=int, default=20, help="pages at most (default: 20)")
    parser.add_argument("--again", action="store_true", help="fetch again what is there already")
    given = parser.parse_args()
    try:
        return 1 if crawl(given) else 0
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{given.out} cannot be used: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
