"""The page around the data: one file, no request, and a policy that allows this script and this style only."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from decodekit.html.markup import Markup
from decodekit.report.scripts import asset, joined

__all__ = ["MARK", "page"]

MARK = "<!doctype html><!-- decodekit report -->"
"""How each report begins, by which an older one is known that may be replaced."""

_NO_SCRIPT = "This report is drawn by the script in this file, which is switched off. Its text begins as follows."


def page(beginning: Markup, first: str, rest: str) -> str:
    """The whole page.

    Args:
        beginning: what is shown until the script draws the page.
        first: the island that the text is drawn from, in base64.
        rest: the island with the steps, in base64.
    """
    script, style = joined(), asset("page.css")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    return f"""{MARK}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>decodekit report</title>
<style>{style}</style>
</head>
<body>
<main id="page"><noscript>{_NO_SCRIPT}</noscript>{beginning}</main>
<script type="application/octet-stream" id="first">{first}</script>
<script>{script}</script>
<script type="application/octet-stream" id="rest">{rest}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
