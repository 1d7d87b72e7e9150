"""Text as it is shown: never half a character, never half a stop string, and nothing lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decodekit.text.stream import TextStream


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def shown(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    stream, texts = TextStream(stop), []
    for piece in pieces:
        texts.append(stream.push(piece))
        if stream.stopped:
            break
    texts.append(stream.finish())
    return texts, stream


@settings(max_examples=200)
@given(st.text(max_size=30), st.lists(st.integers(0, 200), max_size=20))
@example("a€😀é", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_text_comes_whole_however_its_bytes_are_cut(text: str, places: list[int]) -> None:
    pieces = cut(text.encode(), places)
    texts, stream = shown(pieces)
    assert "".join(texts) == stream.text == text and "�" not in text.replace("�", "")
    assert texts[-1] == ""  # nothing is held back without need
    for i in range(1, len(texts)):
        # What was shown so far is exactly the characters whose bytes are complete.
        complete = b"".join(pieces[:i]).decode(errors="ignore")
        assert "".join(texts[:i]) == complete


@settings(max_examples=200)
@given(st.binary(max_size=24), st.lists(st.integers(0, 200), max_size=20))
def test_bytes_that_are_no_text_become_replacement_characters_as_python_does_it(data: bytes, places: list[int]) -> None:
    texts, stream = shown(cut(data, places))
    assert "".join(texts) == stream.text == data.decode(errors="replace")


@settings(max_examples=300)
@given(
    st.text(alphabet="ab€", max_size=16),
    st.lists(st.text(alphabet="ab€", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 200), max_size=24),
)
@example("aab", ["ab"], [1, 2])
@example("aaab", ["aab"], [1, 2, 3])
@example("abba", ["bb", "abbb"], [1, 2, 3])
def test_a_stop_string_is_found_across_cuts_and_is_never_shown_in_part(
    text: str, stop: list[str], places: list[int]
) -> None:
    pieces = cut(text.encode(), places)
    texts, stream = shown(pieces, tuple(stop))
    # The stop string that is complete first ends the text; of those complete at once, the earliest cut counts.
    expected, stopped, so_far = text, False, b""
    for piece in pieces:
        so_far += piece
        found = [at for at in (so_far.decode(errors="ignore").find(word) for word in stop) if at >= 0]
        if found:
            expected, stopped = text[: min(found)], True
            break
    assert ("".join(texts), stream.text, stream.stopped) == (expected, expected, stopped)
    for i in range(1, len(texts)):
        assert expected.startswith("".join(texts[:i])), "shown text was taken back"


def test_what_could_begin_a_stop_string_is_held_until_it_is_certain() -> None:
    stream = TextStream(("STOP", "\n\n"))
    assert [stream.push(piece) for piece in (b"on", b"e S", b"TO", b"N S", b"\n")] == ["on", "e ", "", "STON ", "S"]
    assert stream.push(b"x") == "\nx" and stream.push(b"\nST") == "\n" and not stream.stopped
    assert stream.finish() == "ST" and stream.text == "one STON S\nx\nST"


def test_half_a_character_at_the_end_becomes_one_replacement_character() -> None:
    stream = TextStream()
    assert (stream.push("é".encode()[:1]), stream.finish(), stream.text) == ("", "�", "�")


@pytest.mark.parametrize("piece", [b"STOP", b"xSTOPy", b"xSTOPSTOP"])
def test_after_a_match_nothing_more_is_shown(piece: bytes) -> None:
    stream = TextStream(("STOP",))
    text = stream.push(piece)
    assert stream.stopped and text == piece.split(b"STOP")[0].decode() and stream.finish() == ""


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(["a", "b", "€", 1, 2]), max_size=14),
    st.lists(st.text(alphabet="ab€", min_size=1, max_size=3), max_size=2),
    st.lists(st.lists(st.sampled_from(["a", "b", 1, 2]), min_size=1, max_size=3), max_size=2),
)
@example(["a", 1, "b"], ["ab"], [["b", 1]])
@example(["a", 1, "b"], [], [["a", 1, "a"], [1, "b"]])
def test_a_control_token_counts_as_its_name_and_is_never_shown(
    written: list[str | int], stop: list[str], marked: list[list[str | int]]
) -> None:
    stream = TextStream(stop, [tuple(parts) for parts in marked])
    texts: list[str] = []
    for each in written:
        texts.append(
            stream.push(each.encode() if isinstance(each, str) else b"", each if isinstance(each, int) else None)
        )
        if stream.stopped:
            break
    texts.append(stream.finish())
    # Only control tokens that some stop string names are looked at; plain stop strings see none of them.
    named = {part for parts in marked for part in parts if isinstance(part, int)}
    expected, stopped = "".join(each for each in written if isinstance(each, str)), False
    for count in range(1, len(written) + 1):
        seen = [each for each in written[:count] if isinstance(each, str) or each in named]
        shown = [at for at, each in enumerate(seen) if isinstance(each, str)]
        plain = "".join(str(seen[at]) for at in shown)
        starts = [shown[at] for at in (plain.find(word) for word in stop) if at >= 0]
        starts += [at for parts in marked for at in range(len(seen)) if seen[at : at + len(parts)] == parts]
        if starts:
            expected, stopped = "".join(each for each in seen[: min(starts)] if isinstance(each, str)), True
            break
    assert ("".join(texts), stream.text, stream.stopped) == (expected, expected, stopped)
