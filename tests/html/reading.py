"""What a browser's parser makes of HTML, as far as the standard library's can say."""

from __future__ import annotations

import re
from html.parser import HTMLParser

KNOWN = {
    "div": {"style"},
    "p": {"style"},
    "small": set(),
    "br": set(),
    "span": {"style", "title"},
    "details": set(),
    "summary": set(),
    "table": {"style"},
    "caption": {"style"},
    "thead": set(),
    "tbody": set(),
    "tr": {"style"},
    "th": {"style", "scope"},
    "td": {"style"},
}
STYLE = re.compile(r"[a-z-]+:[#a-z0-9. :;-]*")


class Page(HTMLParser):
    """Every element and attribute must be one of ours, and every element that is opened is closed.

    Attributes:
        text: all text, as it is shown.
        titles: what is shown on hovering.
        rows: the cells of each row of all tables.
        colours: (foreground, background) of each style that names both.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.titles, self.rows = "", list[str](), list[list[str]]()
        self.colours: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in KNOWN, f"an element {tag} got through"
        for name, value in attrs:
            assert name in KNOWN[tag], f"an attribute {name} of {tag} got through"
            if name == "style":
                assert STYLE.fullmatch(value or ""), value
                self._colours(value or "")
            elif name == "title":
                self.titles.append(value or "")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag != "br":
            self._open.append(tag)

    def _colours(self, style: str) -> None:
        named = dict(each.split(":", 1) for each in style.split(";"))
        if "color" in named:  # a colour of the text alone could not be read on one of the two themes
            self.colours.append((named["color"], named["background"]))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment got through: {data!r}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration got through: {decl!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"a processing instruction got through: {data!r}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration got through: {data!r}")
