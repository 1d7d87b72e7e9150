"""What an axis works with: the adapter, how to make another, the texts, and answers that several axes need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from decodekit.analysis.audit.material import Text
from decodekit.analysis.audit.probes import Asked, alone, apart, in_portions, staggered, together
from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import AdapterError, DecodekitError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import blocking
from decodekit.plugin import registry

__all__ = ["Lab", "NotTested"]

_PORTION = 5  # tokens


class NotTested(Exception):
    """Why an axis cannot be tested here."""


@dataclass
class Lab:
    """An adapter under audit.

    Args:
        adapter: the adapter.
        texts: what it is asked for.
        first: its answers, token by token from an empty cache, as a run gets them.
        want: how much it shows.
        make: makes another adapter of the same model with an empty cache; None where that is not known.
        named: the adapter as a configuration names it, ``type`` and parameters; None where it has no such name.
        against: another adapter that answers the same questions; None for none.
    """

    adapter: Adapter
    texts: Sequence[Text]
    first: Asked
    want: Disclosure
    make: Callable[[], Adapter | AsyncAdapter] | None = None
    named: Mapping[str, Any] | None = None
    against: Adapter | None = None

    def require_ids(self) -> None:
        """Raise `NotTested` where the ids mean nothing to another adapter."""
        if hasattr(self.adapter.tokenizer, "relearn"):
            raise NotTested("its token ids are hashes of texts that no other adapter knows; name its tokenizer=")

    def new(self) -> Adapter:
        """Another adapter with an empty cache.

        Raises:
            NotTested: it is not known how to make one, or it would not know the ids.
        """
        self.require_ids()
        if self.make is None:
            raise NotTested("it needs a new adapter of the same model: name the adapter, or give make=")
        try:
            return blocking(self.make())
        except DecodekitError:
            raise
        except Exception as error:
            raise AdapterError(f"make raised {type(error).__name__}: {error}") from error

    def changed(self, **parameters: Any) -> Adapter:
        """A new adapter with other parameters. Raises `NotTested` where the adapter has no name, or as `new`."""
        self.require_ids()
        if self.named is None:
            raise NotTested("it needs an adapter that a configuration names")
        table = {**self.named, **parameters}
        return blocking(registry.adapter(table.pop("type"), **table))

    def run_by(self, adapter: Adapter) -> Asked:
        """Token by token on this adapter, which is closed then."""
        try:
            return alone(adapter, self.texts, self.want)
        finally:
            adapter.close()

    @cached_property
    def again(self) -> Asked:
        """Token by token on the adapter that has written the texts."""
        return alone(self.adapter, self.texts, self.want)

    @cached_property
    def together(self) -> Asked:
        """Token by token, all texts in one call."""
        return together(self.adapter, self.texts, self.want, range(len(self.texts)))

    @property
    def turns(self) -> list[list[int]]:
        """Two turns of a place for each text, at which it is asked for at once: a third, two thirds, the end."""
        tokens = len(self.texts[0].ids)
        stops = (max(1, tokens // 3), max(1, 2 * tokens // 3), tokens - 1)
        return [[stops[(i + turn) % 3] for i in range(len(self.texts))] for turn in (0, 1)]

    @cached_property
    def cold(self) -> Asked:
        """Two places of each text, evaluated from its first token on."""
        return apart(self.new, self.texts, self.want, self.turns)

    @cached_property
    def portions(self) -> Asked:
        """Each text in portions of a few tokens."""
        return in_portions(self.new, self.texts, self.want, _PORTION)

    @cached_property
    def staggered(self) -> Asked:
        """The places of `cold`, a turn in one call."""
        return staggered(self.new, self.texts, self.want, self.turns)
