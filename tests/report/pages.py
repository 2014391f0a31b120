"""A parsed page: its text, pictures and elements."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

from PIL import Image

VOID = {"meta", "link", "img", "path", "rect", "br"}


class Page(HTMLParser):
    """Checks that tags are balanced and keeps what a browser would load, show or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words += data.split()

    @property
    def text(self) -> str:
        """Visible text with collapsed white space."""
        return " ".join(self.words)

    @property
    def pictures(self) -> list[Image.Image]:
        """All pictures, decoded."""
        sources = [attrs["src"] or "" for tag, attrs in self.tags if tag == "img"]
        decoded = []
        for source in sources:
            kind, _, data = source.partition(",")
            assert kind == "data:image/jpeg;base64"
            picture = Image.open(io.BytesIO(base64.b64decode(data)))
            picture.load()
            decoded.append(picture)
        return decoded

    def count(self, tag: str, style: str) -> int:
        """Number of elements of a tag that have a class."""
        return sum(
            1 for t, attrs in self.tags if t == tag and style in (attrs.get("class") or "").split()
        )
