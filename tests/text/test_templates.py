"""Chat templates render as transformers renders them: its own function is the oracle."""

from __future__ import annotations

from typing import Any

import pytest

from decodekit.errors import ConfigError, ParameterError
from decodekit.testing import BytesTokenizer
from decodekit.text.chat import render_chat

pytest.importorskip("jinja2")
oracle = pytest.importorskip("transformers.utils.chat_template_utils")

TEMPLATES = {
    "chatml, added": (
        "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or '') + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "blocks and spaces": (
        "{%- if messages[0].role == 'system' -%}\n  {%- set system = messages[0].content -%}\n"
        "  {%- set loop_messages = messages[1:] -%}\n{%- else -%}\n  {%- set loop_messages = messages -%}"
        "\n{%- endif %}\n"
        "{% for m in loop_messages %}\n    {% if m.content is string %}"
        "\n[{{ m.role | upper }}] {{ m.content | trim }}\n"
        "    {% endif %}\n{% endfor %}\n{{ system | default('none') }}"
    ),
    "generation": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% set x = 1 %}</s>"
        "{% endgeneration %}{% else %}\n{{ m.content }}{% endif %}{{ x is defined }}{% endfor %}"
    ),
    "formats": (
        "{% for m in messages %}{{ '%s: %s%%' | format(m.role, m.content) }}{{ '{}={}'.format(m.role, m.content) }}"
        "{{ '%(a)s' | format(a=m.content) }}{{ '<%5s|%.2f|%03d>' % (m.role, 1.5, 7) }}"
        "{{ '{0:>9}{1!r}'.format(m.role, 3) }}"
        "{{ '%s' % m.role }}{% endfor %}"
    ),
    "slices": (
        "{% for part in messages | slice(2) %}{{ loop.index }}{% for m in part %}{{ m.content }}{% endfor %}"
        "{% endfor %}"
        "{% for part in messages | batch(2, '-') %}{{ part | length }}{% endfor %}{{ messages[::-1][0].content }}"
        "{{ messages[0].content[1:3] if messages[0].content is string }}"
    ),
    "parts": (
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.content is iterable %}"
        "{% for p in m.content %}{% if p.type == 'text' %}"
        "{{ p.text }}{% elif 'image' in p or p['type'] == 'image_url' %}"
        "<image>{% endif %}{% endfor %}{% else %}[{{ m.content }}]{% endif %}{% endfor %}"
    ),
    "json and tools": (
        "{% for m in messages %}{{ m | tojson }}{{ m.tool_calls | tojson(indent=2) if m.tool_calls }}"
        "{{ {'a': m.content, 'é': [1, 2.5, none, true]} | tojson(ensure_ascii=true, sort_keys=true) }}{% endfor %}"
        "{{ messages | map(attribute='role') | unique | list }}"
    ),
    "reasoning": (
        "{% set ns = namespace(last=-1, on=true) %}{% for m in messages[::-1] %}"
        "{% set i = messages | length - 1 - loop.index0 %}"
        "{% if ns.on and m.role == 'user' %}{% set ns.on = false %}{% set ns.last = i %}{% endif %}{% endfor %}"
        "{% for m in messages %}{% set content = m.content if m.content is string else '' %}{% set reasoning = '' %}"
        "{% if m.reasoning_content is string %}{% set reasoning = m.reasoning_content %}"
        "{% elif '</think>' in content %}"
        "{% set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
        "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
        "{% if loop.index0 > ns.last %}<think>{{ reasoning.strip('\n') }}</think>{% endif %}"
        "{{ content }}{{ m.thinking }}{% endfor %}"
    ),
    "macros and operators": (
        "{% macro turn(m, mark='#') -%}{{ mark * 2 ~ m.role ~ 1 ~ none }}{{ caller() if caller }}{%- endmacro %}"
        "{% for m in messages if m.role != 'system' %}{% call turn(m) %}!{% endcall %}{{ turn(m, mark='') }}"
        "{% if loop.last or loop.previtem is defined and 1 < loop.index <= 2 %}"
        "{{ loop.index ** 2 - 7 // 2 + 7 % 4 / 2 }}"
        "{% continue %}{% endif %}{{ m.role not in ['user', 'tool'] and m == messages[-1] }}{% endfor %}"
        "{% set text %}a{{ messages[0].role }}{% endset %}{{ text }}{% filter upper %}b{{ 1 }}{% endfilter %}"
    ),
    "filters": (
        "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='role') | join(', ') }}"
        "{{ messages | rejectattr('role', 'in', ['user']) | list | length }}{{ 'a b' | title | replace(' ', '_') }}"
        "{{ messages | groupby('role') | map('first') | join('|') }}{{ [3, 1, 2] | sort | first }}{{ '7' | int + 1 }}"
        "{{ messages[0] | items | list | length }}{{ {'b': 1, 'a': 2} | dictsort }}{{ [1, 2] | sum }}"
        "{{ 2.567 | round(1) }}"
        "{{ 'x\ny' | indent(2) }}{{ '<a>' | e }}{{ messages[0].role | capitalize | string | length }}{{ dict(a=1) }}"
        "{{ 'a,b'.split(',') }}{{ 'a b c'.partition(' ') }}{{ 'aXb'.lower().startswith('ax') }}{{ 'é' | urlencode }}"
    ),
}

CALL = {"type": "function", "function": {"name": "look", "arguments": {"city": "Zürich", "days": 2}}}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one turn": [{"role": "user", "content": "Hello"}],
    "system": [{"role": "system", "content": "Be <kind> & 'short'"}, {"role": "user", "content": "  a b\n"}],
    "three turns": [
        {"role": "user", "content": "1 + 1 = ?"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\n2", "reasoning_content": "deep"},
        {"role": "user", "content": "Zürich 🙂"},
    ],
    "null content and calls": [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "1"},
    ],
    "parts": [
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "text", "text": "what is this?"}, {"type": "image_url"}],
        }
    ],
}


def theirs(template: str, messages: list[dict[str, Any]], **options: Any) -> str:
    """As ``apply_chat_template`` calls it, which leaves out what is None."""
    plain = [{key: value for key, value in message.items() if value is not None} for message in messages]
    text: str = oracle.render_jinja_template(
        [plain], chat_template=template, bos_token="<s>", eos_token="</s>", **options
    )[0][0]
    return text


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_the_text_is_that_of_transformers(template: str, conversation: str) -> None:
    source, messages = TEMPLATES[template], CONVERSATIONS[conversation]
    for prompt in (True, False):
        try:
            expected = theirs(source, messages, add_generation_prompt=prompt)
        except Exception:  # a template may fail on what it was not written for
            try:
                found = render_chat(source, messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=prompt)
            except ConfigError:
                continue
            texts = [{**message, "content": message["content"] or ""} for message in messages]
            assert texts != messages and found == theirs(source, texts, add_generation_prompt=prompt)
        else:
            assert (
                render_chat(source, messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=prompt)
                == expected
            )


BEGUN = [
    {"role": "user", "content": "A colour?"},
    {"role": "assistant", "content": "My favourite colour is"},
]


@pytest.mark.parametrize("template", ["chatml, added", "blocks and spaces", "generation", "parts", "reasoning"])
@pytest.mark.parametrize("begun", ["My favourite colour is", "Sure:\n ", "A colour?", "a </think> b "])
def test_the_assistants_begun_message_is_continued(template: str, begun: str) -> None:
    messages = [BEGUN[0], {**BEGUN[1], "content": begun}]
    expected = theirs(TEMPLATES[template], messages, continue_final_message=True)
    assert render_chat(TEMPLATES[template], messages) == expected


def test_the_last_part_with_a_text_is_continued() -> None:
    content = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}, {"type": "image"}]
    messages = [BEGUN[0], {"role": "assistant", "content": content}]
    text = render_chat(TEMPLATES["parts"], messages)
    assert text == theirs(TEMPLATES["parts"], messages, continue_final_message=True) == "A colour?onetwo"


def test_what_cannot_be_continued_is_refused() -> None:
    for last in ({"content": ""}, {"content": " \n"}, {"content": None, "tool_calls": [CALL]}, {"content": []}):
        with pytest.raises(ParameterError, match="no text to continue"):
            render_chat(TEMPLATES["parts"], [BEGUN[0], {"role": "assistant", **last}])
    with pytest.raises(ConfigError, match="drops the assistant's last message"):
        render_chat("{{ messages[0].content }}", BEGUN)


def test_texts_in_parts_are_one_text_for_a_template_that_reads_a_string() -> None:
    plain = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}"
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    for content, text in ((parts, "one\ntwo"), (tuple(parts[:1]), "one"), ("one", "one")):
        assert render_chat(plain, [{"role": "user", "content": content}]) == f"<user>{text}"
    begun = [{"role": "user", "content": "a"}, {"role": "assistant", "content": parts}]
    assert render_chat(plain, begun).endswith("<assistant>one\ntwo")
    assert render_chat(TEMPLATES["parts"], [{"role": "user", "content": parts}]).count("\n") == 0  # it reads them


def test_what_is_no_text_is_refused_by_name() -> None:
    tokenizer = BytesTokenizer()
    tokenizer.chat_template = TEMPLATES["parts"]
    told = {
        "'image_url'": {"type": "image_url", "image_url": {"url": "x"}},
        "'input_audio'": {"type": "input_audio"},
        "no string 'text'": {"type": "text", "text": 3},
        "None": {"text": "x"},
        "'bare'": "bare",
    }
    for words, part in told.items():
        with pytest.raises(ParameterError, match=f"message 1: part 0 of its content .*{words}.*only"):
            tokenizer.encode_messages([{"role": "system", "content": "x"}, {"role": "user", "content": [part]}])
