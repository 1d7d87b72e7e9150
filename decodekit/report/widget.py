"""A report as the output of a notebook's cell: the page in a frame, and the same without scripts below it."""

from __future__ import annotations

from html import escape
from typing import Any

from decodekit.errors import ParameterError, brief
from decodekit.html.markup import Markup, block, details, join, note
from decodekit.report.document import islands
from decodekit.report.page import page
from decodekit.report.sources import Source, read_sources
from decodekit.text.tokenizer import Tokenizer

__all__ = ["Widget", "widget"]

_MOST_BYTES = 10_000_000  # of the page in the notebook's file; a run of 10,000 tokens takes less than a third


class Widget:
    """What `widget` returns; a notebook shows it as the last expression of a cell."""

    def __init__(self, sources: list[Source], height: int) -> None:
        self._sources = sources
        self._height = height

    def __repr__(self) -> str:
        return f"Widget({', '.join(repr(source.trace) for source in self._sources)})"

    def to_html(self) -> str:
        """The frame with the page, and a part without scripts, which is all that GitHub and nbviewer show.

        The frame has an origin of its own: the page cannot reach the notebook, and loads nothing.
        """
        made = page(*islands(self._sources))
        static = join(Markup(source.trace.to_html()) for source in self._sources)
        if len(made) > _MOST_BYTES:
            megabytes = len(made) / 1e6
            how = "decodekit.report.write_report(trace, 'report.html') writes it to a file"
            return block(note(f"The report has {megabytes:.0f} MB, which is too much for a notebook; {how}."), static)
        frame = Markup(
            f'<iframe sandbox="allow-scripts" title="decodekit report" srcdoc="{escape(made)}"'
            f' style="width:100%;height:{self._height}px;border:1px solid #808080"></iframe>'
        )
        return frame + details("the same without scripts", static)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(self, **formats: object) -> dict[str, str]:
        """For a screen that shows no HTML, what it is of."""
        return {"text/plain": repr(self), "text/html": self.to_html()}


def widget(traces: Any, *, tokenizer: Tokenizer | None = None, height: int = 640) -> Widget:
    """A run as a report in a notebook's cell: each token with its story, and the check of each draw.

    Args:
        traces: a `Result`, a `Trace`, the path of a trace, or a sequence of them. Two are compared too.
        tokenizer: that of the run, for the texts of tokens that were not chosen; a result brings its own.
        height: of the frame, in pixels.

    Raises:
        TraceError: a file cannot be read, or nothing was recorded.
        ParameterError: there is no trace, something else was given, or the height is no number of pixels.
    """
    pixels: object = height
    if isinstance(pixels, bool) or not isinstance(pixels, int) or not 100 <= pixels <= 10_000:
        raise ParameterError(f"widget: height must be 100 to 10000 pixels, not {brief(height)}")
    known = tokenizer if tokenizer is not None else getattr(traces, "tokenizer", None)
    return Widget(read_sources(traces, known), height)
