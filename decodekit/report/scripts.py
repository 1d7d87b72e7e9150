"""The page's ES modules as one script, without a bundler: each in a scope of its own, in the order of their imports."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

__all__ = ["asset", "joined"]

_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"\./([a-z_]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|class)\s+(\w+))", re.MULTILINE)
_NAMED = re.compile(r"^export \{([^}]*)\};\n", re.MULTILINE)
_COMMENT = re.compile(r"^ *//[^\n]*\n|^ */\*\*.*?\*/\n| // [^\n\"'`]*$|^\n|^ +", re.MULTILINE | re.DOTALL)

_BREAK = re.compile(r"(?<=[{(\[,;])\n|\n(?=[}\])])")


def asset(name: str) -> str:
    """The text of a file in ``assets``."""
    return files("decodekit.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def joined(entry: str = "main") -> str:
    """The module of this name and all that it imports, as one script.

    Understood are ``import { a, b } from "./name.js";``, ``export`` before a declaration and ``export { a, b };``.

    Raises:
        ValueError: two modules import each other, or another form of import or export stands in one.
    """
    done: dict[str, str] = {}
    _add(entry, done, ())
    return '(() => {\n"use strict";\n' + "".join(done.values()) + "})();\n"


def _add(name: str, done: dict[str, str], above: tuple[str, ...]) -> None:
    if name in above:
        raise ValueError(f"modules import each other: {' -> '.join((*above, name))}")
    if name in done:
        return
    text = asset(f"{name}.js")
    imported = _IMPORT.findall(text)
    for _, other in imported:
        _add(other, done, (*above, name))
    exported = [*_EXPORT.findall(text), *(name.strip() for names in _NAMED.findall(text) for name in names.split(","))]
    body = _COMMENT.sub("", _NAMED.sub("", _EXPORT.sub("", _IMPORT.sub("", text))))
    if re.search(r"^(import|export)\b", body, re.MULTILINE):
        raise ValueError(f"{name}.js has an import or export of another form")
    taken = "".join(f"const {{ {' '.join(names.split())} }} = {other}_js;\n" for names, other in imported)
    done[name] = (
        f"const {name}_js = (() => {{\n{taken}{_BREAK.sub('', body)}\nreturn {{ {', '.join(exported)} }};\n}})();\n"
    )
