from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from decodekit.text.safe_text import safe_text

BIDI = set(range(0x202A, 0x202F)) | set(range(0x2066, 0x206A)) | {0x200E, 0x200F, 0x061C}
ZERO_WIDTH = {0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD, 0x034F, 0x3164, 0xE0041, 0xE0100}
LINE_ENDS = {0x2028, 0x2029, 0x0085}
HOSTILE = st.sampled_from([chr(code) for code in BIDI | ZERO_WIDTH | LINE_ENDS | set(range(0x20)) | {0x7F, 0x9B}])


@given(st.text(st.characters() | HOSTILE))
@example("\ud800")
def test_nothing_unseen_is_left(text: str) -> None:
    codes = {ord(c) for c in safe_text(text)}
    assert not codes & (BIDI | ZERO_WIDTH | LINE_ENDS)
    assert not any(code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 for code in codes)


@given(st.text(st.characters() | HOSTILE))
def test_running_text_keeps_its_newlines_and_no_other_line_end(text: str) -> None:
    shown = safe_text(text, newlines=True)
    assert shown.count("\n") == text.count("\n")
    assert len(shown.splitlines()) == len(shown.removesuffix("\n").split("\n")) - (shown == "")
    assert shown.replace("\n", "") == safe_text(text.replace("\n", ""))


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters=[chr(c) for c in ZERO_WIDTH])))
def test_what_can_be_seen_is_left_alone(text: str) -> None:
    fillers = {0x115F, 0x1160, 0xFFA0}
    assert safe_text(text) == text or fillers & {ord(c) for c in text}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zürich, 東京 🙂", "Zürich, 東京 🙂"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\u202eevil", "\\u202eevil"),
        ("\U000e0041", "\\U000e0041"),
        ("\x9b2J", "\\u009b2J"),
    ],
)
def test_escapes_say_what_was_there(text: str, shown: str) -> None:
    assert safe_text(text) == shown
