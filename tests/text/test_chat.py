"""Chat templates: what real ones need works, and what a hostile one wants does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")

from decodekit.errors import ConfigError, ParameterError
from decodekit.text.chat import MAX_OUTPUT, MAX_TEMPLATE, render_chat

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
    "{{ '%s' % ''.join.__self__ }}",
    "{{ ['{0.__class__}'.format][0]('a') }}",
    "{{ ['{0.__class__}'] | map(attribute='format') | first }}{{ 1 / 0 }}",
    "{{ '{0.__self__}'.format(''.join) }}",
    "{% set ns = namespace(__class__=1) %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "{{ ''.encode() }}",
    "{{ ''.translate({}) }}",
    "{{ dict.__self__.concat }}",
    "{{ range.__globals__ }}",
    "{{ dict.work }}",
    "{{ messages[0].content.marks }}",
    "{{ (1).to_bytes(9, 'big') }}",
    "{{ messages[0].items().mapping.copy() }}{{ 1 / 0 }}",
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


def test_a_template_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(ConfigError, match="characters"):
        render_chat("{{ a }}" * MAX_TEMPLATE, HELLO)


def test_a_long_conversation_is_no_bomb() -> None:
    messages = [{"role": "user", "content": "word " * 20_000}] * 40
    template = "{% for m in messages %}{{ m.content + '|' }}{% endfor %}"
    assert len(render_chat(template, messages)) == 40 * (100_000 + 1) > MAX_OUTPUT


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ("Hello", "not .Hello."),
        ({"role": "user", "content": "x"}, "dict"),
        (["Hello"], "message 0"),
        ([{"role": "user"}], "'content'"),
        ([{"content": "x"}], "'role'"),
        ([{"role": "user", "content": 3}], "3"),
        ([], "messages is empty"),
        ([{"role": "user", "content": {"text": "x"}}], "'content'"),
        ([{"role": "user", "content": [object()]}], "holds a object"),
        ([{"role": "user", "content": "\ud800"}], "not valid Unicode"),
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
