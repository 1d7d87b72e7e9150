"""What the files of a model folder say about its tokenizer: ends, BOS, markup, chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError

__all__ = ["Folder"]


class Folder:
    """A folder in the format of transformers. Any file in it may be missing.

    Args:
        path: the folder.

    Raises:
        ConfigError: a file is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokenizer = _settings(path / "tokenizer_config.json")
        self._special = _settings(path / "special_tokens_map.json")
        self._generation = _settings(path / "generation_config.json")
        self._model = _settings(path / "config.json")

    @property
    def vocab_size(self) -> int | None:
        """The model's number of tokens; None where no file says."""
        size = self._model.get("vocab_size") or self._text_model.get("vocab_size")
        return size if isinstance(size, int) else None

    @property
    def eos_ids(self) -> list[int]:
        """All ids that any file names as an end: those of a chat are often in one file only."""
        found: list[int] = []
        for settings in (self._generation, self._model, self._text_model):
            ids = settings.get("eos_token_id")
            found += ids if isinstance(ids, list) else [ids]  # type: ignore[list-item]
        return list(dict.fromkeys(i for i in found if type(i) is int))

    @property
    def adds_bos(self) -> bool | None:
        """Whether a text prompt begins with BOS; None where no file says."""
        adds = self._tokenizer.get("add_bos_token")
        return adds if isinstance(adds, bool) else None

    @property
    def chat_template(self) -> str | None:
        """The model's own; of several the one named default."""
        written = self._path / "chat_template.jinja"
        if written.is_file():
            return written.read_text(encoding="utf-8")
        template = self._tokenizer.get("chat_template")
        if isinstance(template, list):
            template = next((each["template"] for each in template if each["name"] == "default"), None)
        return template if isinstance(template, str) else None

    def token(self, name: str) -> str:
        """The text of ``bos_token`` or ``eos_token``; '' for none."""
        token = self._tokenizer.get(name) or self._special.get(name) or ""
        return token if isinstance(token, str) else str(token["content"])

    @property
    def _text_model(self) -> dict[str, Any]:
        part = self._model.get("text_config")
        return part if isinstance(part, dict) else {}


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {error}") from None
    return settings if isinstance(settings, dict) else {}
