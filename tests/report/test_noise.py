"""The noise and the digests of the page, in a real browser: the vectors of docs/RNG.md, NumPy and hashlib."""

from __future__ import annotations

import math
import re
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from decodekit import Randomness

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = (Path(__file__).parents[2] / "docs" / "RNG.md").read_text()
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| \d.*\|$", PAGE, re.MULTILINE)]

NOISE = """async (asked) => {
  const { noiseOf } = await import("/rng.js");
  return asked.map(([seed, domain, step, stream, draw, lane]) => {
    const noise = noiseOf(seed, domain, step, stream, draw);
    const at = Number.isSafeInteger(Number(lane)) ? Number(lane) : BigInt(lane);
    return [noise.word(at), noise.uniform(at), noise.gumbel(at)];
  });
}"""


def test_every_row_of_the_table(modules: Page) -> None:
    assert len(ROWS) == 14
    found = modules.evaluate(NOISE, [row[:6] for row in ROWS])
    for (word, uniform, gumbel), row in zip(found, ROWS, strict=True):
        assert (word, uniform) == (row[6], float.fromhex(row[7]))
        assert gumbel == pytest.approx(float(row[8]), abs=1e-14)


def test_addresses_of_64_bits_are_exact(modules: Page) -> None:
    parts = [0, 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1]
    asked = [(seed, 0, step, stream, 2**64 - 1 - seed, 3) for seed in parts for step in parts for stream in parts[::4]]
    asked += [(5, 1, 2, 3, 4, lane) for lane in (2**20, 2**34 + 1, 2**53 - 1, 2**53 + 3, 2**63 - 1)]
    found = modules.evaluate(NOISE, [list(map(str, address)) for address in asked])
    for (word, _, gumbel), (seed, domain, step, stream, draw, lane) in zip(found, asked, strict=True):
        source = Randomness(seed, stream)
        assert word == f"{int(source.words([lane], step=step, domain=domain, draw=draw)[0]):016x}"
        again = float(source.gumbel([lane], step=step, domain=domain, draw=draw)[0])
        assert math.isclose(gumbel, again, rel_tol=1e-14, abs_tol=1e-14)


def test_a_whole_vocabulary_is_the_same_as_word_by_word(modules: Page) -> None:
    words = modules.evaluate(
        """async () => {
          const { noiseOf } = await import("/rng.js");
          const noise = noiseOf(42, 0, 7, 3, 1);
          return Array.from({ length: 1003 }, (_, lane) => noise.word(lane)).join(" ");
        }"""
    )
    again = Randomness(42, 3).words(range(1003), step=7, draw=1)
    assert words == " ".join(f"{word:016x}" for word in again.tolist())


def sampled(sampler: str) -> dict[int, list[int]]:
    """The tokens of the sequences at the end of the page, for each seed."""
    name = "" if sampler == "multinomial" else r"`inverse_cdf`, "
    found = re.findall(rf"^\* {name}seed (\d+): `([\d ]+)`", PAGE, re.MULTILINE)
    return {int(seed): list(map(int, tokens.split())) for seed, tokens in found}


@pytest.mark.parametrize("sampler", ["multinomial", "inverse_cdf"])
def test_the_sequences_end_to_end(modules: Page, sampler: str) -> None:
    scores = [2, 1.5, 1, 0.5, 0, -0.5, -1]
    total = math.log(sum(map(math.exp, scores)))
    script = """async ([sampler, seed, scores]) => {
      const { drawAgain } = await import("/draw.js");
      const ids = scores.map((_, id) => id);
      return Array.from({ length: 32 }, (_, index) =>
        drawAgain({ seed, sampler }, { stream: 0, index, ids, scores, floor: null }, 0));
    }"""
    for seed, tokens in sampled(sampler).items():
        again: list[dict[str, Any]] = modules.evaluate(
            script, [sampler, seed, [score - total for score in scores] + ["-inf"]]
        )
        assert [each["token"] for each in again] == tokens
        if sampler == "multinomial":
            margins = re.search(rf"seed {seed}: .*step 0 = ([\d.]+), smallest = ([\d.]+)", PAGE)
            assert margins is not None
            assert again[0]["margin"] == pytest.approx(float(margins[1]), abs=1e-12)
            assert min(each["margin"] for each in again) == pytest.approx(float(margins[2]), abs=1e-12)


DIGEST = """async ([sizes, person, size]) => {
  const { Blake2b } = await import("/digest.js");
  return sizes.map((length) =>
    new Blake2b(size, person).update(Uint8Array.from({ length }, (_, i) => (7 * i + length) % 256)).hex());
}"""


def test_digests_are_those_of_hashlib(modules: Page) -> None:
    sizes = [*range(0, 400, 3), 127, 128, 129, 255, 256, 257, 5000]
    for size, person in [(16, ""), (8, "decodekit-rng-1"), (64, "x")]:
        found = modules.evaluate(DIGEST, [sizes, person, size])
        for length, digest in zip(sizes, found, strict=True):
            data = bytes((7 * i + length) % 256 for i in range(length))
            assert digest == blake2b(data, digest_size=size, person=person.encode()).hexdigest()


def test_child_seeds_follow_from_the_digest(modules: Page) -> None:
    """The vectors of `derive`: the page digests what docs/RNG.md says; no check of a trace needs them."""
    listed = re.findall(r"`derive\((\d+)(.*?)\) = 0x([0-9a-f]{16})`", PAGE)
    assert len(listed) == 5
    inputs = []
    for seed, path, _ in listed:
        data = b"S" + int(seed).to_bytes(8, "little")
        for item in filter(None, path.split(", ")):
            if item.startswith('"'):
                text = item.strip('"').encode()
                data += b"T" + len(text).to_bytes(4, "little") + text
            else:
                data += b"I" + int(item).to_bytes(8, "little")
        inputs.append(list(data))
    found = modules.evaluate(
        """async (inputs) => {
          const { Blake2b } = await import("/digest.js");
          return inputs.map((bytes) => new Blake2b(8, "decodekit-rng-1").update(Uint8Array.from(bytes)).hex());
        }""",
        inputs,
    )
    assert [bytes.fromhex(digest)[::-1].hex() for digest in found] == [word for _, _, word in listed]


def test_a_digest_in_pieces_is_that_of_the_whole(modules: Page) -> None:
    found = modules.evaluate(
        """async (pieces) => {
          const { Blake2b } = await import("/digest.js");
          const hash = new Blake2b(16);
          for (const length of pieces) hash.update(new Uint8Array(length).fill(9));
          return hash.hex();
        }""",
        [0, 1, 127, 128, 129, 0, 300],
    )
    assert found == blake2b(b"\x09" * 685, digest_size=16).hexdigest()
