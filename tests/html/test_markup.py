"""The components of the notebook: every text is escaped, whatever it is, and can be read in the light and the dark."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import decodekit.report
from decodekit.html.bars import bar
from decodekit.html.markup import Markup, block, details, join, note, sentences, shown, table
from decodekit.html.tokens import STYLES, Piece, key, tokens
from decodekit.text.safe_text import safe_text
from decodekit.trace.surprisal import BANDS, EDGES, band_of, surprisal_of
from tests.hostile_texts import HOSTILE

from .reading import Page


def everything(text: str) -> Markup:
    """A text at every place where one can stand."""
    return block(
        text,
        note(text),
        sentences([(text, text)]),
        details(text, text),
        table(text, [text, text], [[text, bar(0.5)], [text, text]], left=1, bold=frozenset([1])),
        tokens([Piece(text, band, text) for band in (None, *range(len(STYLES)))], before=text),
        key([text]),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_markup_anywhere(text: str) -> None:
    page = Page(everything(text))
    assert page.text.count(safe_text(text)) + page.text.count(safe_text(text, newlines=True)) >= 18
    assert safe_text(text) in page.titles
    assert not [c for c in page.text + "".join(page.titles) if c != "\n" and safe_text(c) != c]
    everything(text).encode()  # no lone surrogate is left


def test_markup_is_not_escaped_twice_and_text_is_not_left_unescaped() -> None:
    assert shown(shown("<&>")) == shown("<&>") == "&lt;&amp;&gt;"
    assert join(["<", Markup("<br>"), ">"]) == "&lt;<br>&gt;"
    assert type(shown("x") + "<b>") is str and shown(shown("x") + "<b>") == "x&lt;b&gt;"  # a sum is text again


def test_a_token_of_a_megabyte_is_cut_where_it_stands_in_a_cell_or_a_line() -> None:
    long = "<" * 1_000_000
    for made in (note(long), sentences([(long, long)]), details(long, ""), table(long, [long], [[long]])):
        assert len(made) < 6000 and "…" in made


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_each_colour_has_the_contrast_that_wcag_asks_for() -> None:
    page = Page(key(BANDS))
    assert len(page.colours) == 7 and all(contrast(*pair) >= 4.5 for pair in page.colours)
    drawn = bar(1.0).split("background:")[1][:7]
    assert contrast(drawn, "#fff") >= 3 and contrast(drawn, "#111") >= 3  # a shape on the light and the dark theme


def test_the_colours_and_bands_are_those_of_the_report() -> None:
    assets = Path(decodekit.report.__file__).parent / "assets"
    style = (assets / "page.css").read_text()
    for band, colours in enumerate(STYLES[1:], 1):
        ink, paper = (re.search(rf"--{letter}{band}: (#\w+);", style) for letter in "ic")  # the first are of the light
        assert ink is not None and paper is not None and colours == f"color:{ink[1]};background:{paper[1]}"
    edges = re.search(r"surprisal: (\[.*?\])", (assets / "colour.js").read_text())
    assert edges is not None and json.loads(edges[1]) == list(EDGES)


def test_a_dotted_line_says_what_is_unlikely_without_a_colour() -> None:
    assert "dotted" in tokens([Piece("x", 4, unlikely=True)]) and "dotted" not in tokens([Piece("x", 4)])


def test_bands_of_surprisal() -> None:
    nats = [None, 0.1, 0.0, -0.049, -0.05, -0.5, -1.5, -3.5, -6.0, float("-inf")]
    assert [band_of(each) for each in nats] == [None, 0, 0, 0, 1, 3, 4, 6, 7, 7]
    assert len(BANDS) == len(STYLES) == 8 and BANDS[3] == "0.5–1"
    assert surprisal_of(0.1) == 0.0 and surprisal_of(None) is None


def test_a_bar_is_as_long_as_the_probability_and_never_longer_than_its_room() -> None:
    widths = [bar(share).split("width:")[1].split("em")[0] for share in (None, -1.0, 0.0, 0.25, 1.0, 7.0)]
    assert widths == ["0.00", "0.00", "0.00", "3.00", "12.00", "12.00"]
