"""What a server says of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServerInfo"]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server reports about itself at the first contact.

    Args:
        model: the model's name there.
        build: what identifies the server's build.
        vocab_size: the number of tokens.
        context_length: the longest prompt in tokens.
        eos_ids: tokens that end a text.
        bos_id: the token that it puts in front of a text.
        filler: the id of a token that is one ASCII character, to force where a list would be missing.
        tokenizes: it has a route to tokenise text.
        places: how many sequences it works on at a time; None where it does not say.
        engine: the program behind the API, as the server names it; '' where it does not say.
        id_grammar: its grammars are known to take token ids.
    """

    model: str = ""
    build: str = ""
    vocab_size: int | None = None
    context_length: int | None = None
    eos_ids: frozenset[int] = frozenset()
    bos_id: int | None = None
    filler: int | None = None
    tokenizes: bool = False
    places: int | None = None
    engine: str = ""
    id_grammar: bool = False

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` for invalid values."""
        names: tuple[object, ...] = (self.model, self.build, self.engine)
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a name that is not text")
        for name, least in (("vocab_size", 1), ("context_length", 2), ("places", 1)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not least <= value < 2**31):
                raise ValueError(f"{name} is {str(value)[:40]!r}")
        ids = [*self.eos_ids, *(each for each in (self.bos_id, self.filler) if each is not None)]
        if any(type(each) is not int or not 0 <= each < 2**31 for each in ids):
            raise ValueError("an invalid token id")
