"""The check of the page, and that of decodekit, of the same bytes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import decodekit

if TYPE_CHECKING:
    from playwright.sync_api import Page

Result = dict[str, Any]

_CHECK = """async (files) => {
  const { checkTrace } = await import("/check_trace.js");
  return files.map((base64) => {
    try {
      const { word, step, why, steps } =
        checkTrace(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
      return { word, step: step === null ? null : String(step), words: steps.map((each) => each.word), why };
    } catch (error) {
      return { word: "it throws", why: String(error.stack) };
    }
  });
}"""


def by_page(page: Page, files: Sequence[bytes]) -> list[Result]:
    """What the page says of each: the word, the step in decimal digits or None, the words of the steps, and why."""
    found: list[Result] = page.evaluate(_CHECK, [b64encode(data).decode() for data in files])
    return found


def by_decodekit(data: bytes, path: Path) -> Result:
    """The same of `decodekit.verify`; 'refused' where it raises."""
    path.write_bytes(data)
    try:
        verdict = decodekit.verify(path)
    except decodekit.TraceError as error:
        return {"word": "refused", "step": None, "words": [], "why": str(error)}
    step = None if verdict.step is None else str(verdict.step)
    return {"word": verdict.word, "step": step, "words": list(verdict.words), "why": verdict.why}


def differences(page: Page, files: Sequence[bytes], path: Path) -> list[str]:
    """Each file of which the two say another word or step, or another word of a step."""
    told = []
    for at, (data, found) in enumerate(zip(files, by_page(page, files), strict=True)):
        ours = by_decodekit(data, path)
        if any(found.get(name) != ours[name] for name in ("word", "step", "words")):
            told.append(f"{at}: the page says {found}, decodekit {ours}")
    return told
