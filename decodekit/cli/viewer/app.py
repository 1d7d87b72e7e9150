"""The tokens of a trace, walked with keys: the text above, the story of the marked token below."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from decodekit.cli.surprise import BANDS, style_of
from decodekit.cli.viewer.story_text import StoryText
from decodekit.cli.viewer.text_pane import TextPane
from decodekit.cli.viewer.walk import Walk
from decodekit.text.safe_text import safe_text
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace import Trace, Verdict
from decodekit.view.story import StepStory, story_of
from decodekit.view.verdicts import MEANING, STYLE

__all__ = ["Viewer"]

_KEYS = "? help  q quit  ← → token  ↑ ↓ sequence or candidate  / search  n close  e uncertain"
_HELP = (
    ("← →", "the token before, the token after"),
    ("Home End", "the first token, the last token"),
    ("↑ ↓", "another sequence; where there is only one, another candidate of the step"),
    ("/", "search a text; Enter goes to the next place where it begins, Escape closes"),
    ("n", "the next close decision: of the tenth with the smallest margins"),
    ("e", "the next uncertain place: of the tenth with the highest entropy"),
    ("Page Up Page Down", "scroll the story"),
    ("?", "this help"),
    ("q Ctrl-C", "quit"),
)


class Viewer(App[None]):
    """The screen.

    Args:
        trace: the run.
        walk: a place in its story.
        verdict: that of the trace.
        tokenizer: for the texts of tokens that were not chosen.
        fault: what is wrong with the file; '' for nothing.
    """

    CSS = """
    #head, #foot { height: 1; }
    #told { height: 1fr; border-top: solid grey; }
    #search { display: none; height: 1; border: none; padding: 0; }
    #search.open { display: block; }
    """
    AUTO_FOCUS = None  # the keys walk; the line of the search takes them once it is open
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)"),
        Binding("right", "step(1)"),
        Binding("home", "go(0)"),
        Binding("end", "go(-1)"),
        Binding("up", "turn(-1)"),
        Binding("down", "turn(1)"),
        Binding("slash", "search"),
        Binding("n,m", "next('close')"),
        Binding("e", "next('uncertain')"),
        Binding("pageup", "scroll(-1)"),
        Binding("pagedown", "scroll(1)"),
        Binding("question_mark", "help"),
        Binding("escape", "close"),
        Binding("q", "quit"),
        Binding("ctrl+c", "quit", priority=True),
    ]

    def __init__(
        self, trace: Trace, walk: Walk, verdict: Verdict, tokenizer: Tokenizer | None = None, fault: str = ""
    ) -> None:
        super().__init__(ansi_color=True)
        self._trace = trace
        self._walk = walk
        self._verdict = verdict
        self._tokenizer = tokenizer
        self._fault = safe_text(fault)
        self._candidate: int | None = None
        self._helped = False
        self._said = ""
        self.story: StepStory | None = None

    def compose(self) -> ComposeResult:
        """The parts of the screen, from above."""
        yield Static(id="head", markup=False)
        yield TextPane()
        with VerticalScroll(id="told", can_focus=False):
            yield Static(id="story", markup=False)
        yield Input(placeholder="search", id="search", compact=True)
        yield Static(Text(_KEYS, style="dim", no_wrap=True, overflow="ellipsis"), id="foot")

    def on_mount(self) -> None:
        """Show the first token."""
        self._show_sequence()

    def action_step(self, by: int) -> None:
        """Go to the token before or after."""
        self._walk.step(by)
        self._arrive()

    def action_go(self, at: int) -> None:
        """Go to the first token, or with -1 to the last."""
        self._walk.go(at if at >= 0 else len(self._walk.indices) - 1)
        self._arrive()

    def action_turn(self, by: int) -> None:
        """Go to another sequence; where there is only one, to another candidate."""
        if self._walk.sequences > 1:
            self._walk.turn(by)
            self._candidate = None
            self._show_sequence()
        elif self.story is not None:
            rows, at = len(self.story.rows), self._candidate
            self._candidate = (0 if by > 0 else rows - 1) if at is None else (at + by) % rows
            self._show_story()

    def action_next(self, which: str) -> None:
        """Go to the next close or uncertain place."""
        found = self._walk.next_close() if which == "close" else self._walk.next_uncertain()
        self._arrive("" if found else f"no {'margin' if which == 'close' else 'entropy'} is known here")

    def action_search(self) -> None:
        """Open the line of the search."""
        self.query_one(Input).add_class("open").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the next place where the text begins."""
        self._arrive("" if self._walk.find(event.value) else "not found")

    def action_scroll(self, by: int) -> None:
        """Scroll the story."""
        told = self.query_one(VerticalScroll)
        (told.scroll_page_down if by > 0 else told.scroll_page_up)(animate=False)

    def action_help(self) -> None:
        """Show the keys in place of the story, or the story again."""
        self._helped = not self._helped
        self._show_story()

    def action_close(self) -> None:
        """Close the search, or the help."""
        self.query_one(Input).remove_class("open")
        self.set_focus(None)
        self._helped = False
        self._show_story()

    def _arrive(self, said: str = "") -> None:
        """Show the token at which the walk stands."""
        self._candidate, self._said = None, said
        self.query_one(TextPane).mark(self._walk.at)
        self._show_story()
        self.query_one(VerticalScroll).scroll_home(animate=False)

    def _show_sequence(self) -> None:
        tokens, indices = self._walk.run.tokens, self._walk.indices
        surprisals = [tokens.surprisal[i] for i in indices]
        styles = [style_of(None if each is None else -each) for each in surprisals]
        self.query_one(TextPane).show(self._walk.texts, styles)
        self._arrive()

    def _show_story(self) -> None:
        index = self._walk.index
        self.story = None
        if index is not None:
            self.story = story_of(self._trace, index, self._tokenizer, verdict=self._verdict)
        told = self.query_one("#story", Static)
        if self._helped:
            told.update(_help())
        elif self.story is None:
            told.update(Text("no tokens were recorded"))
        else:
            told.update(StoryText(self.story, self._candidate))
        self.query_one("#head", Static).update(self._head())

    def _head(self) -> Text:
        """One line: what is proved, where the walk stands, and what the last key led to."""
        walk, run = self._walk, self._walk.run
        parts: list[tuple[str, str] | str] = [(run.verdict, STYLE[run.verdict]), f": {self._fault or run.why}"]
        place = f"token {walk.at + 1} of {len(walk.indices)}" if walk.indices else "no tokens"
        if walk.sequences > 1:
            place = f"sequence {walk.sequence + 1} of {walk.sequences}, {place}"
        if self._said:
            parts = [(self._said, "bold yellow")]
        told = walk.told
        end = None if told is None else "; ".join(told.tool_calls) or told.finish_reason
        return Text.assemble(f"{place}{f', {end}' if end else ''}  ", *parts, no_wrap=True, overflow="ellipsis")


def _help() -> Text:
    lines = [Text.assemble((f"{keys:<18}", "bold"), does) for keys, does in _HELP]
    words = [Text.assemble((f"{word:<18}", STYLE[word]), meaning) for word, meaning in MEANING.items()]
    surprisal = Text(", ").join(Text(name, style) for name, style in BANDS)
    return Text("\n").join(
        [*lines, Text(), Text.assemble("surprisal under the model, bits: ", surprisal), Text(), *words]
    )
