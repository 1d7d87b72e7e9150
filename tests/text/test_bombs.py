"""Templates that want to work without end, or to fill the memory, are stopped: all of them within one small process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("jinja2")

_SELF = "{% set n = namespace(a=[1], b=[1], c='a' * 900000, d=0) %}"
_LONG = "{% for i in range(99990) %}"

STOPPED = [
    # texts that grow
    "{{ 'a' * 10**10 }}",
    "{{ 10**10 * 'a' }}",
    "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
    "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "{{ ('b' * 100000).join(['a'] * 100000) }}",
    "{{ ['a'] * 100000 | join('b' * 100000) }}",
    "{{ 'a'.center(10**10) }}{{ 'a'.ljust(10**10) }}",
    "{{ '1'.zfill(10**10) }}",
    "{{ ('\t' * 10000).expandtabs(9999) }}",
    "{{ 'a' | center(10**10) }}",
    "{{ 'a' | indent(10**9, true) }}",
    "{{ ('\n' * 100000) | indent(1000) }}",
    "{{ ('\u0390' * 900000).upper() }}",
    "{{ '%10000000000d' % 1 }}",
    "{{ '%999999d%999999d' % (1, 1) }}",
    "{{ '%*d' % (10**8, 1) }}",
    "{{ '{:10000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 10**9) }}",
    "{{ ('{0}' * 100000).format('a' * 10000) }}",
    "{{ ('%s' * 99999) | format('a') }}{{ '%9999999s' | format('a') }}",
    "{% set x %}" + _LONG + "{{ 'a' * 900000 }}{% endfor %}{% endset %}",
    "{% set x %}" + _LONG + "y" * 90000 + "{% endfor %}{% endset %}",
    "{% filter upper %}" + _LONG + "{{ 'a' * 90000 }}{% endfor %}{% endfilter %}",
    "".join(f"{{% set v{i} = 'a' * 900000 %}}" for i in range(3000)),
    # structures that grow
    "{{ ['a' * 900000] * 100000 }}",
    "{{ range(10**10) | list }}",
    "{{ [1] | batch(10**8, 'x') | list }}",
    "{{ ([[1] * 1000] * 1000) | sum(start=[]) }}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    _SELF + "{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a | tojson }}",
    "{% set n = namespace(a=[]) %}" + _LONG + "{% set n.a = [n.a, ('a' * 900000) ~ i] %}{% endfor %}",
    _SELF + "{% set n.a = {} %}{% for i in range(60) %}{% set n.a = {1: n.a.values(), 2: n.a.values()} %}{% endfor %}",
    _SELF + "{% set n.a = ['x'] * 9000 %}{% for i in range(800) %}{% set n.a = [n.a] %}{% endfor %}"
    "{{ n.a | tojson(indent=16) }}",
    _SELF + "{% for i in range(40) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}"
    "{% if n.a == n.b %}{% endif %}",
    "{% set n = namespace() %}{% set n.l = [n, n] %}" + _LONG + "{% set n.l = [n.l, n] %}{% endfor %}",
    # numbers that grow
    "{{ 9 ** (9 ** 9) }}",
    "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{{ 1.5 | round(10**8, 'ceil') }}",
    "{% set x = ('f' * 900000) | int(0, 16) %}{{ x // 3 }}",
    # rounds without end
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
    _LONG + "{% for c in range(99999) | map('string') %}{{ loop.length }}{% break %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    _SELF + "{% block a %}{% set n.d = n.d + 1 %}{% if n.d < 60 %}{{ self.a() }}{{ self.a() }}{% endif %}"
    "{% set n.d = n.d - 1 %}{% endblock %}",
    "{% macro f() %}" + "{{ 1 }}" * 9000 + "{% endmacro %}" + _LONG + "{% set x = f() %}{% endfor %}",
    _LONG + "{% if messages[0].role is defined %}{% endif %}" * 1500 + "{% endfor %}",
    "{{ [1] | slice(10**8) | list }}",
    # much work in one step
    _LONG + "{% if range(99999) | sum %}{% endif %}{% endfor %}",
    _LONG + "{{ range(9999) | sort | length }}{% endfor %}",
    _SELF + _LONG + "{% set y = n.c[1:] %}{% endfor %}",
    _SELF + _LONG + "{% if 'aab' in n.c %}{% endif %}{% endfor %}",
    "{{ ('a' * 500000).rfind('b' + 'a' * 250000) }}",
    "{% set s = 'a' * 29000 %}{% set t = 'a' * 49 + 'b' + 'a' * 49 %}" + _LONG + "{% set x = s.find(t) %}{% endfor %}",
    "{{ ('ab' * 400000).strip('c' * 400000 + 'ab') }}",
    "{{ ('ab' * 400000) | trim('c' * 400000 + 'ab') }}",
    "{% set l = range(9000) | list %}{{ range(99999) | select('in', l) | list | length }}",
    _SELF + "{% set n.a = [] %}{% for i in range(3000) %}{% set n.a = n.a + [i * (2**61 - 1)] %}{% endfor %}"
    "{{ n.a | unique | list | length }}",
    _LONG + "{% set x = ('a-' * 400000) | title %}{% endfor %}",
    "{{ ('a ' * 100000) | wordwrap(2) }}",
    "{{ ('http://' * 100000) | urlize }}",
    "{{ ('<!--' * 200000) | striptags }}",
    "{{ (range(9000) | list) | pprint }}",
    "{{ ('\u00e4' * 500000).encode('punycode') }}",
    _LONG + "{% set d = dict(messages[0], x=i) %}{% endfor %}",
    # what the compiler chokes on
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "{{ " + "1" * 90000 + " }}",
    "{#" * 40000,
]

# Not all of these need to be stopped; they take little, and say little.
HARMLESS = [
    "{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n, n] %}{{ n.l == n.l }}{{ n.l | length }}",
    "{{ strftime_now('%9999999999d' * 5) | length }}",
    "{{ " + " " * 90000 + "1 }}",
    "{% if a == b and c in d %}x{% endif %}" * 2000,
    "{{ range(99990) | map('string') | first }}",
]

_CHILD = """
import json, resource, sys
from decodekit.errors import ConfigError
from decodekit.text.chat import render_chat
templates = json.load(sys.stdin)
render_chat("{{ '%s' % 'x' }}", [{"role": "user", "content": "hi"}])
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for at, template in enumerate(templates):
    try:
        render_chat(template, [{"role": "user", "content": "hi"}])
        said = "done"
    except ConfigError as error:
        said = "stopped"
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([at, said, now - used]), flush=True)
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("templates", "outcomes"), [(STOPPED, {"stopped"}), (HARMLESS, {"done", "stopped"})])
def test_no_template_works_without_end_or_fills_the_memory(templates: list[str], outcomes: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], input=json.dumps(templates), capture_output=True, text=True, timeout=200
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(templates), (templates[len(told)][:200], done.stderr)
    assert [templates[at][:200] for at, said, _ in told if said not in outcomes] == []
    assert max(grown for _, _, grown in told) < 250 * 1024  # KiB
