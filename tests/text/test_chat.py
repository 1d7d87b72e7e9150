"""Chat templates: what real ones need works, and what a hostile one wants does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")

from decodekit.errors import ConfigError, ParameterError
from decodekit.text.chat import MAX_OUTPUT, render_chat

HELLO = [{"role": "user", "content": "Hello"}]


def test_a_chatml_template_gives_the_text_the_model_was_trained_on() -> None:
    template = (
        "{% for m in messages %}\n<|im_start|>{{ m['role'] }}\n{{ m.content }}<|im_end|>\n{% endfor %}\n"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    assert render_chat(template, HELLO) == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert render_chat(template, HELLO, add_generation_prompt=False) == "<|im_start|>user\nHello<|im_end|>\n"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ bos_token }}{{ messages[0].content | trim }}{{ eos_token }}", "<s>Hello</s>"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "Hello"}]'),
        ("{{ '<é>' | tojson }}", '"<é>"'),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}x{% endfor %}", ""),
        ("{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('-') }}", "Hello"),
        ("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(1) ~ f('a') }}", "[1][a]"),
        ("{{ messages[0].content.split('l')[-1] }}{{ 7 % 4 }}{{ 'a' + 'b' }}{{ 'ab' * 2 }}", "o3ababab"),
        ("{{ tools is none }}{{ missing is defined }}", "TrueFalse"),
    ],
)
def test_what_real_templates_use_works(template: str, text: str) -> None:
    assert render_chat(template, HELLO, bos_token="<s>", eos_token="</s>") == text


def test_a_template_can_ask_for_the_date() -> None:
    assert render_chat("{{ strftime_now('%Y') }}", HELLO) == time.strftime("%Y")


def test_a_refusal_is_told_in_the_templates_own_words() -> None:
    with pytest.raises(ConfigError, match="roles must alternate"):
        render_chat("{{ raise_exception('roles must alternate') }}", HELLO)


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        render_chat("one\n{% if %}", HELLO)


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ self.__init__.__globals__['__builtins__']['open'](PATH, 'w') }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('touch ' ~ PATH).read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__.os.system('touch ' ~ PATH) }}",
    "{{ lipsum.__globals__['os'].popen('touch ' ~ PATH).read() }}",
    "{{ raise_exception.__globals__ }}",
    "{{ raise_exception.__code__ }}",
    "{{ strftime_now.__globals__['sys'] }}",
    "{{ ('' | attr('__class__')).__mro__ }}",
    "{{ messages | map(attribute='__class__') | list }}{{ 1 / 0 }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ '{0.__globals__}'.format_map({'0': raise_exception}) }}",
    "{{ '%s' % messages.__init__ }}",
    "{% set f = 'x'.format %}{{ f(1) }}",
    "{{ [''.format][0]('a') }}",
    "{{ ['x'] | map('format', 1) | list }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('touch ' ~ PATH) }}",
    "{% extends '/etc/passwd' %}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{{ messages[0].pop('role') }}",
    "{{ messages.clear() }}",
    "{{ url_for.__globals__ }}",
    "{{ request.application.__globals__ }}",
    "{{ environment.from_string('{{ 1 }}') }}",
    "{{ (1).__class__.__base__ }}",
    "{{ ().__reduce_ex__(4) }}",
    "{{ (messages | first).__iter__.__self__ }}",
]


@pytest.mark.parametrize("payload", ESCAPES)
def test_no_template_reaches_the_interpreter_or_changes_the_messages(payload: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    messages = [{"role": "user", "content": "Hello"}]
    try:
        text = render_chat(payload.replace("PATH", repr(str(canary))), messages)
    except ConfigError:
        text = ""
    assert text == ""  # a barred attribute is either refused or undefined
    assert not canary.exists()
    assert messages == [{"role": "user", "content": "Hello"}]


BOMBS = [
    "{{ 'a' * 10**10 }}",
    "{{ 10**10 * 'a' }}",
    "{{ ['a' * 900000] * 100000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "{{ ('b' * 100000).join(['a'] * 100000) }}",
    "{{ ['a'] * 100000 | join('b' * 100000) }}",
    "{{ 'a'.center(10**10) }}{{ 'a'.ljust(10**10) }}",
    "{{ '1'.zfill(10**10) }}",
    "{{ 'a' | center(10**10) }}",
    "{{ '%10000000000d' % 1 }}",
    "{{ '{:10000000000}'.format(1) }}",
    "{{ 'a' | indent(10**9, true) }}",
    "{{ range(10**10) | list }}",
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_endless_work_and_endless_text_are_stopped(bomb: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigError):
        render_chat(bomb, HELLO)
    assert time.perf_counter() - started < 20  # milliseconds on a quiet machine; a bomb that goes off takes hours


def test_a_long_conversation_is_no_bomb() -> None:
    messages = [{"role": "user", "content": "word " * 20_000}] * 40
    template = "{% for m in messages %}{{ m.content + '|' }}{% endfor %}"
    assert len(render_chat(template, messages)) == 40 * (100_000 + 1) > MAX_OUTPUT


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ("Hello", "str"),
        ({"role": "user", "content": "x"}, "dict"),
        (["Hello"], "message 0"),
        ([{"role": "user"}], "'content'"),
        ([{"content": "x"}], "'role'"),
        ([{"role": "user", "content": None}], "None"),
        ([{"role": "user", "content": "x"}, {"role": 1, "content": "x"}], "message 1"),
    ],
)
def test_messages_of_another_shape_are_refused_by_name(messages: Any, named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        render_chat("x", messages)


def test_without_jinja2_the_error_says_what_to_install(without_module: Callable[[str], None]) -> None:
    without_module("jinja2")
    with pytest.raises(ConfigError, match="pip install jinja2"):
        render_chat("x", HELLO)


@pytest.fixture
def without_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    import sys

    return lambda name: monkeypatch.setitem(sys.modules, name, None)
