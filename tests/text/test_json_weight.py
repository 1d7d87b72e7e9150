from __future__ import annotations

import json
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from decodekit.text.json_weight import json_weight

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner, max_size=5),
)


def size_of(value: Any) -> int:
    """The bytes of the objects, each counted once for each time that it occurs, and the place that holds it."""
    if isinstance(value, dict):
        return sys.getsizeof(value) + sum(size_of(key) + size_of(item) - 16 for key, item in value.items())
    inner = sum(size_of(item) for item in value) if isinstance(value, list) else 0
    own = 40 if isinstance(value, int | float) or value is None else sys.getsizeof(value)
    return own + inner


@given(value=st.lists(VALUES), ascii_only=st.booleans())
def test_the_weight_and_the_text_are_no_less_than_the_objects(value: Any, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert json_weight(data) + len(data) + 200 >= size_of(value)


def test_a_text_ends_at_no_escaped_quote() -> None:
    plain = json.dumps(["é", "x" * 1000], ensure_ascii=False).encode()
    quoted = json.dumps(["é", '"\\' * 500], ensure_ascii=False).encode()
    assert json_weight(quoted) > json_weight(plain) + 4 * 900
