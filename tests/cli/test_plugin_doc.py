from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decodekit.cli.plugin_doc import LABELS, read_doc, read_example
from decodekit.errors import ConfigError

FULL = """Keep what leads.

    More of it,
    on two lines.
    Formula: keep i where
    p_i >= p
    Edges: 0 keeps all.
    Source: Somebody et al. 2020 (arXiv 0000.00000). Engines: none yet.
    Example: lead = 0.5

    Raises:
        ParameterError: it is odd.
    """


def test_labelled_parts_are_taken_out_and_the_rest_stays() -> None:
    doc = read_doc(FULL)
    assert doc.summary == "Keep what leads."
    assert doc.text == "Keep what leads.\n\nMore of it,\non two lines.\n\nRaises:\n    ParameterError: it is odd."
    assert doc.notes == {
        "Formula": "keep i where p_i >= p",
        "Edges": "0 keeps all.",
        "Source": "Somebody et al. 2020 (arXiv 0000.00000).",
        "Engines": "none yet.",
        "Example": "lead = 0.5",
    }
    assert tuple(doc.notes) == LABELS


@pytest.mark.parametrize(
    ("docstring", "summary", "notes"),
    [
        (None, "", {}),
        ("", "", {}),
        ("   \n  ", "", {}),
        ("One line", "One line", {}),
        ("A first sentence that is\nlonger than its line. And more.", None, {}),
        ("Source: nothing else.", "", {"Source": "nothing else."}),
        ("It has a source. Source: a paper;\nmore of it.", "It has a source.", {"Source": "a paper; more of it."}),
        ("Resource: not a label, and neither is the Source: here.", None, {}),
        ("A sum.\n\nSource:\n    on the next line", "A sum.", {"Source": "on the next line"}),
        ("A sum.\n\nSource: one.\n\nSource: two.", "A sum.", {"Source": "one. two."}),
    ],
)
def test_any_docstring_has_a_summary_and_the_labels_it_has(
    docstring: str | None, summary: str | None, notes: dict[str, str]
) -> None:
    doc = read_doc(docstring)
    assert doc.notes == notes
    assert doc.summary == (" ".join((docstring or "").split()) if summary is None else summary)


def words(text: str) -> list[str]:
    return sorted(word for word in text.split() if word.rstrip(":") not in LABELS)


PIECES = st.sampled_from([*(f"{label}: " for label in LABELS), "a.", " ", "\n", "  x"])


@given(st.text() | st.lists(PIECES).map("".join))
def test_no_word_of_a_docstring_is_lost(docstring: str) -> None:
    doc = read_doc(docstring)
    assert words(f"{doc.text} {' '.join(doc.notes.values())}") == words(docstring)


def test_an_example_is_the_inside_of_a_toml_table() -> None:
    assert read_example('a = 1, b = "x", c = {2 = false}') == {"a": 1, "b": "x", "c": {"2": False}}
    assert read_example("") == {}
    with pytest.raises(ConfigError, match="'a = ' is not valid between the braces"):
        read_example("a = ")
