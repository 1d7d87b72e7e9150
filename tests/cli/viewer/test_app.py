"""The screen of ``decodekit view``, with keys, by textual's own pilot."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("textual")

from textual.pilot import Pilot

import decodekit
from decodekit import Trace
from decodekit.cli.viewer.app import Viewer
from decodekit.cli.viewer.text_pane import TextPane
from decodekit.cli.viewer.walk import Walk
from tests.hostile_texts import HOSTILE

from .runs import hostile, many_steps, samples, walk_of


class Screen:
    """What is on the screen, and the keys."""

    def __init__(self, pilot: Pilot[None], app: Viewer, walk: Walk) -> None:
        self.pilot, self.app, self.walk = pilot, app, walk

    async def press(self, *keys: str) -> str:
        await self.pilot.press(*keys)
        return self.text

    @property
    def lines(self) -> list[str]:
        return ["".join(each.text for each in strip) for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def head(self) -> str:
        return self.lines[0]

    def marked(self) -> str:
        """The token that is in reverse, if it is in sight."""
        pane = self.app.query_one(TextPane)
        strips = map(pane.render_line, range(pane.size.height))
        return "".join(each.text for strip in strips for each in strip if each.style is not None and each.style.reverse)


def look(trace: Trace, use: Callable[[Screen], Awaitable[None]], size: tuple[int, int] = (100, 40)) -> None:
    """Open the viewer and use it."""

    async def opened() -> None:
        walk = walk_of(trace)
        app = Viewer(trace, walk, decodekit.verify(trace))
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await use(Screen(pilot, app, walk))

    asyncio.run(opened())


def test_keys_walk_the_tokens_and_the_story_follows() -> None:
    trace = samples()

    async def use(screen: Screen) -> None:
        assert "token 1 of 40" in screen.head and "proved" in screen.head
        styles = [each.style for each in screen.app.query_one(TextPane).render_line(0) if each.style is not None]
        assert {style.color.name for style in styles if style.color is not None} == {"cyan", "green"}
        assert any(style.italic for style in styles) and any(style.underline for style in styles)
        for keys, at in ((("right", "right"), 2), (("left",), 1), (("end",), 39), (("right",), 39), (("home",), 0)):
            text = await screen.press(*keys)
            assert f"token {at + 1} of 40" in screen.head and f"step {at}: " in text
            assert screen.marked() == trace.steps[at].text
            assert screen.app.story is not None and screen.app.story.index == at
        for part in ("raw", "temperature", "top_p", "tokens left", "race", "the runner-up", "seeds: "):
            assert part in text, part

    look(trace, use)


def test_up_and_down_are_candidates_of_one_sequence_and_sequences_of_several() -> None:
    async def candidates(screen: Screen) -> None:
        assert screen.app.story is not None
        rows = screen.app.story.rows
        text = await screen.press("down")
        assert f"{rows[0].label} raw " in text and "sequence" not in screen.head
        text = await screen.press("up")  # from the first to the last
        assert f"{rows[-1].label} raw " in text
        assert f"{rows[-1].label} raw " not in await screen.press("right")

    async def sequences(screen: Screen) -> None:
        first = screen.lines[1]
        await screen.press("down")
        assert "sequence 2 of 3" in screen.head and screen.lines[1] != first
        await screen.press("up", "up")
        assert "sequence 3 of 3" in screen.head

    look(samples(), candidates)
    look(samples(3), sequences)


def test_search_and_the_next_places() -> None:
    trace = samples()
    walk = walk_of(trace)

    async def use(screen: Screen) -> None:
        walk.find("ca")
        await screen.press("slash", "c", "a", "enter")
        assert f"token {walk.at + 1} of" in screen.head
        await screen.press("x", "enter")
        assert "not found" in screen.head
        await screen.press("escape", "home", "n")
        walk.go(0)
        walk.next_close()
        assert f"token {walk.at + 1} of" in screen.head  # the letters are keys again
        await screen.press("e")
        walk.next_uncertain()
        assert f"token {walk.at + 1} of" in screen.head
        assert "the next close decision" in await screen.press("question_mark")
        assert "the next close decision" not in await screen.press("question_mark")

    look(trace, use)


def test_a_screen_of_forty_columns_and_back() -> None:
    async def use(screen: Screen) -> None:
        await screen.press("end")
        for size in ((40, 24), (20, 6), (100, 40)):
            await screen.pilot.resize_terminal(*size)
            await screen.pilot.pause()
            assert all(len(line) <= size[0] for line in screen.lines)
            assert "token 40 of 40" in screen.head or size[0] < 40
            assert screen.marked() == screen.walk.texts[-1]  # still in sight

    look(samples(), use)


def test_ten_thousand_tokens_are_walked_by_drawing_what_is_in_sight() -> None:
    async def use(screen: Screen) -> None:
        assert "#" in screen.text  # tokens without a text are shown by their ids
        for keys, at in ((("end",), 9_999), (("left",), 9_998), (("home",), 0)):
            await screen.press(*keys)
            assert f"token {at + 1} of 10000" in screen.head
            assert screen.marked() == screen.walk.texts[at]

    look(many_steps(10_000), use)


def test_a_run_without_tokens() -> None:
    async def use(screen: Screen) -> None:
        for key in ("right", "end", "down", "n", "e", "left"):
            assert "no tokens were recorded" in await screen.press(key)

    trace = samples(max_tokens=1)
    look(Trace(trace.header, [], None), use)


def test_no_token_reaches_the_screen_raw() -> None:
    """The text has all of them in sight, and `StoryText` is tested with each."""

    async def use(screen: Screen) -> None:
        for lines in (screen.lines, (await screen.press("end")).splitlines()):
            assert not [c for c in "".join(lines) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn")]
        shown = "".join(screen.lines)
        assert "\\x1b[2J\\x1b[H" in shown and "\\u202egnp.exe" in shown and "[@click=app.quit]textual[/]" in shown
        assert f"step {len(HOSTILE) - 1}: " in shown

    look(hostile(), use, (100, 120))


def test_ctrl_c_quits() -> None:
    async def use(screen: Screen) -> None:
        await screen.pilot.press("ctrl+c")
        assert not screen.app.is_running or screen.app._exit

    look(samples(max_tokens=2), use)
