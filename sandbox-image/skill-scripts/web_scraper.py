#!/usr/bin/env python3
"""A page as text, its links, or its tables as CSV. Standard library only; obeys robots.txt and goes slowly.

web_scraper.py URL [URL …] [--links | --tables] [--out FOLDER] [--wait SECONDS]
"""

import argparse
import csv
import re
import sys
import time
import urllib.error
import urllib.request
import urllib.robotparser
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

NAME = "agent-kernel-scraper"
MOST_BYTES, TIMEOUT = 10 << 20, 30
SKIPPED = {"script", "style", "noscript", "template", "svg", "nav", "footer"}
BLOCKS = {
    "p",
    "div",
    "section",
    "article",
    "ul",
    "ol",
    "table",
    "pre",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "br",
    "tr",
}


class Reader(HTMLParser):
    """Text with headings and lists, links with their words, tables as rows."""

    def __init__(self, base):
        super().__init__(convert_charrefs=True)
        self.base, self.text, self.links, self.tables, self.title = base, [], [], [], ""
        self.skipping, self.in_title, self.link, self.cell = 0, False, None, None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in SKIPPED:
            self.skipping += 1
        elif tag == "title":
            self.in_title = True
        elif tag == "base" and attrs.get("href"):
            self.base = urljoin(self.base, attrs["href"])
        elif tag == "a" and attrs.get("href"):
            self.link = [urljoin(self.base, attrs["href"]), ""]
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.cell = []
        if tag in BLOCKS:
            self.text.append("\n" + ("#" * int(tag[1]) + " " if re.fullmatch("h[1-6]", tag) else ""))
        elif tag == "li":
            self.text.append("\n- ")

    def handle_endtag(self, tag):
        if tag in SKIPPED:
            self.skipping = max(0, self.skipping - 1)
        elif tag == "title":
            self.in_title = False
        elif tag == "a" and self.link:
            if urlsplit(self.link[0]).scheme in ("http", "https"):
                self.links.append((self.link[0], " ".join(self.link[1].split())))
            self.link = None
        elif tag in ("td", "th") and self.cell is not None:
            self.tables[-1][-1].append(" ".join("".join(self.cell).split()))
            self.cell = None
        if tag in BLOCKS:
            self.text.append("\n")

    def handle_data(self, data):
        if self.in_title:
            self.title += data
        elif not self.skipping:
            self.text.append(data)
            if self.link:
                self.link[1] += data
            if self.cell is not None:
                self.cell.append(data)

    def words(self):
        lines = [" ".join(line.split()) for line in "".join(self.text).splitlines()]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def fetch(url):
    """(final address, text). Raises ValueError with a sentence."""
    request = urllib.request.Request(url, headers={"User-Agent": NAME, "Accept": "text/html,*/*;q=0.5"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            kind = answer.headers.get_content_type()
            if not (kind.startswith("text/") or kind.endswith(("xml", "json"))):
                raise ValueError(f"{url} is {kind}, not a page")
            data = answer.read(MOST_BYTES)
            return answer.url, data.decode(answer.headers.get_content_charset() or "utf-8", "replace")
    except (urllib.error.URLError, TimeoutError, LookupError) as error:
        raise ValueError(f"{url}: {getattr(error, 'reason', error)}") from error


def may_read(url, known):
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{url} is not an http address")
    origin = f"{parts.scheme}://{parts.netloc}"
    if origin not in known:
        rules = known[origin] = urllib.robotparser.RobotFileParser()
        try:
            rules.parse(fetch(f"{origin}/robots.txt")[1].splitlines())
        except ValueError:
            rules.allow_all = True
    return known[origin].can_fetch(NAME, url)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("urls", nargs="+")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--links", action="store_true", help="address and words of each link, as CSV")
    what.add_argument("--tables", action="store_true", help="each table as CSV")
    parser.add_argument("--out", type=Path, help="a folder for files, instead of printing")
    parser.add_argument("--wait", type=float, default=1.0, help="seconds between pages (default 1)")
    args = parser.parse_args()
    known, failed = {}, 0
    for number, url in enumerate(args.urls, 1):
        if number > 1:
            time.sleep(args.wait)
        try:
            if not may_read(url, known):
                raise ValueError(f"{url}: its robots.txt asks programs to stay away")
            where, page = fetch(url)
        except ValueError as error:
            print(f"web_scraper: {error}", file=sys.stderr)
            failed += 1
            continue
        reader = Reader(where)
        reader.feed(page)
        give(reader, where, number, args)
    sys.exit(1 if failed else 0)


def give(reader, where, number, args):
    name = re.sub(r"[^\w.-]+", "-", urlsplit(where).netloc + urlsplit(where).path).strip("-")[:80]
    if args.links:
        write(args.out, f"{name}-links.csv", [("address", "words"), *dict.fromkeys(reader.links)])
    elif args.tables:
        for index, rows in enumerate((rows for rows in reader.tables if any(rows)), 1):
            write(args.out, f"{name}-{index}.csv", [row for row in rows if row])
    else:
        text = f"# {' '.join(reader.title.split()) or where}\n{where}\n\n{reader.words()}\n"
        if args.out is None:
            print(text)
        else:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / f"{name}.md").write_text(text, encoding="utf-8")
            print(args.out / f"{name}.md")


def write(folder, name, rows):
    if folder is None:
        csv.writer(sys.stdout).writerows(rows)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    print(folder / name)


if __name__ == "__main__":
    main()
