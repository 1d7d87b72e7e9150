"""The text of a sequence on the screen, of which only the lines in sight are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from decodekit.cli.viewer.layout import Layout, laid_out

__all__ = ["TextPane"]


class TextPane(ScrollView, can_focus=False):
    """Coloured tokens, one of them marked."""

    DEFAULT_CSS = "TextPane { height: 1; overflow-x: hidden; scrollbar-gutter: stable; }"

    def __init__(self) -> None:
        super().__init__()
        self._texts: Sequence[str] = ()
        self._styles: list[Style] = []
        self._layout = Layout()
        self._width = 0
        self._marked = 0

    def show(self, texts: Sequence[str], styles: Sequence[str]) -> None:
        """Show other tokens.

        Args:
            texts: safe to show, with newlines.
            styles: rich's, one for each.
        """
        self._texts = texts
        known = {style: Style.parse(style) for style in set(styles)}
        self._styles = [known[style] for style in styles]
        self._marked = 0
        self._lay_out()

    def mark(self, token: int) -> None:
        """Mark a token, and scroll so that it is in sight."""
        self._marked = token
        self._follow()
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        """Break the text anew."""
        self._lay_out()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        at = y + self.scroll_offset.y
        if at >= len(self._layout.lines):
            return Strip.blank(self.size.width)
        segments = [Segment(each.text, self._style(each.token)) for each in self._layout.lines[at]]
        return Strip(segments).adjust_cell_length(self.size.width)

    def _style(self, token: int) -> Style:
        return self._styles[token] + Style(reverse=True) if token == self._marked else self._styles[token]

    def _lay_out(self) -> None:
        self._width = self.scrollable_content_region.width
        if self._width:
            self._layout = laid_out(self._texts, self._width)
            lines = len(self._layout.lines)
            self.styles.height = min(lines, max(1, self.app.size.height * 2 // 5))  # the story needs the more room
            self.virtual_size = Size(self._width, lines)
            self._follow()
            self.refresh()

    def _follow(self) -> None:
        """Scroll if the marked token is out of sight."""
        if self._marked < len(self._layout.first):
            line, height = self._layout.first[self._marked], self.scrollable_content_region.height
            if not self.scroll_offset.y <= line < self.scroll_offset.y + height:
                self.scroll_to(y=max(0, line - height // 2), animate=False, force=True)
