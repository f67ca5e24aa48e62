"""A page as text, in a process of its own: what parses strangers' bytes may run long or eat memory, and is then ended.

Given to Python by its path: `web_page.py html|pdf CHARSET ADDRESS`, the bytes on standard input. One JSON object comes
out: `title`, `date`, `text`, `cut` (something was left out), or `error`.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from typing import Any
from urllib.parse import urljoin

MOST_HTML = 3 << 20
MOST_TEXT = 2_000_000
MOST_PAGES = 1_000
CPU_SECONDS, MEMORY = 25, 2 << 30
_NOISE = [
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "iframe",
    "object",
    "form",
    "button",
    "dialog",
    "head",
]
_AROUND = ["nav", "header", "footer", "aside"]
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0*(?:\.0+)?\s*(?:;|$)|font-size\s*:\s*0(?![.\d]*[1-9])",
    re.IGNORECASE,
)
_DATES = (
    "article:modified_time",
    "article:published_time",
    "date",
    "dc.date",
    "last-modified",
    "og:updated_time",
)


def html(data: bytes, charset: str, address: str) -> dict[str, Any]:
    """The main part of a page as Markdown, without what its readers would not see."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(data[:MOST_HTML], "html.parser", from_encoding=charset or None)
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    date = _date(soup)
    base = soup.find("base", href=True)
    address = urljoin(address, str(base["href"])) if base else address
    for tag in soup.find_all([*_NOISE, lambda tag: _hidden(tag)]):
        tag.decompose()
    root = _main(soup)
    _link(root, address)
    return {"title": title, "date": date, "text": _markdown(root), "cut": len(data) > MOST_HTML}


def _hidden(tag: Any) -> bool:
    return (
        tag.has_attr("hidden")
        or str(tag.get("aria-hidden", "")).lower() == "true"
        or bool(_HIDDEN.search(str(tag.get("style", ""))))
    )


def _date(soup: Any) -> str:
    for meta in soup.find_all("meta", content=True):
        name = str(meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower()
        if name in _DATES:
            return str(meta["content"])[:40]
    time = soup.find("time", datetime=True)
    return str(time["datetime"])[:40] if time else ""


def _main(soup: Any) -> Any:
    """The page's own main part; without one, the body without what stands around it."""
    for found in (soup.find_all("main"), soup.find_all(attrs={"role": "main"}), soup.find_all("article")):
        if len(found) == 1 and len(found[0].get_text(" ", strip=True)) >= 200:
            return found[0]
    body = soup.body or soup
    whole = len(body.get_text(" ", strip=True))
    around = [tag for tag in body.find_all(_AROUND) if tag.find_parent(["article", "main"]) is None]
    if sum(len(tag.get_text(" ", strip=True)) for tag in around) < whole * 0.8:
        for tag in around:
            tag.decompose()
    return body


def _link(root: Any, address: str) -> None:
    """Links in full, so that they can be followed; pictures as their words."""
    for link in root.find_all("a"):
        target = ""
        with contextlib.suppress(ValueError):
            target = urljoin(address, str(link.get("href") or ""))
        if target.startswith(("http://", "https://")) and link.get("href", "").strip()[:1] != "#":
            link["href"] = target.replace(" ", "%20")
        else:
            link.unwrap()
    for picture in root.find_all("img"):
        words = str(picture.get("alt") or "").strip()
        picture.replace_with(f"[image: {words}]" if words else "")


def _markdown(root: Any) -> str:
    from markdownify import MarkdownConverter

    try:
        text = str(MarkdownConverter(heading_style="ATX", bullets="-", autolinks=False).convert_soup(root))
    except RecursionError:  # nested deeper than any reader would see
        text = root.get_text("\n", strip=True)
    return re.sub(r"[ \t]+\n", "\n", re.sub(r"\n\s*\n\s*\n+", "\n\n", text)).strip()


def pdf(data: bytes, charset: str, address: str) -> dict[str, Any]:
    """The text of each page."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        return {"error": "the PDF is locked with a password"}
    pages, size = [], 0
    for number, page in enumerate(reader.pages[:MOST_PAGES], 1):
        text = page.extract_text().strip()
        pages.append(f"## Page {number}\n\n{text or '(no text: a picture, perhaps)'}")
        size += len(text)
        if size > MOST_TEXT:
            break
    about = reader.metadata
    return {
        "title": str((about and about.title) or ""),
        "date": str((about and about.modification_date) or ""),
        "text": "\n\n".join(pages),
        "cut": len(pages) < len(reader.pages),
    }


def main() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    kind, charset, address = sys.argv[1:4]
    try:
        said = (html if kind == "html" else pdf)(sys.stdin.buffer.read(), charset, address)
    except Exception as error:  # a parser of strangers' bytes may raise anything
        said = {"error": f"it cannot be parsed ({type(error).__name__})"}
    text = said.get("text", "")
    if len(text) > MOST_TEXT:
        said |= {"text": text[:MOST_TEXT], "cut": True}
    sys.stdout.buffer.write(json.dumps(said).encode())


if __name__ == "__main__":
    main()
