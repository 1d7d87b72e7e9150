"""What llguidance says of a grammar, in words for the one who wrote it: the place, the cause, and the way out."""

from __future__ import annotations

import re

__all__ = ["NO_VALUE", "explained"]

NO_VALUE = "no value is valid"
_LONGEST = 600
_LONGEST_QUOTE = 160
_PLACE = re.compile(r"^(?:at )?(\d+)\((\d+)\): ")
_OF_A_REGEX = re.compile(r"^invalid regex .* \(in \w+\): |; \w+ in regex /.*/$", re.DOTALL)
_REASON = re.compile(r"^error: (.+)$", re.MULTILINE)

# Each is searched for in llguidance's reason; the first that is found counts.
_OF_SIZE = {
    r"Current row has \d+ items; max is (\d+)": (
        "there are too many ways to go on here: about 500 optional keys of one object are possible, or as many "
        "branches that begin alike; make some of them required"
    ),
    r"schema too large|initial lexer configuration|grammar size|too complex|too big|Too[A-Z]|fuel": (
        "it is too large to be compiled; make the bounds of its repetitions smaller, or leave out alternatives"
    ),
    r"intersection stack level": "allOf, anyOf and $ref combine too many schemas; write the common one out",
    r"Unable to determine if regex is empty": (
        "whether a text has this pattern and these lengths takes too long to find out; leave the lengths out, or put "
        "them into the pattern"
    ),
    r"too deeply nested|nest": "its groups are nested too deeply; give some of them a rule of their own",
}
_OF_PATTERNS = {
    r"look-around": (
        "look-ahead and look-behind such as (?=a) and (?<!a) are not supported; write out the texts that are allowed"
    ),
    r"backreferences": r"a back-reference such as \\1 is not supported; write out each case",
    r"lookarounds not supported": (
        r"\\b, and ^ or $ in the middle, are not supported; write out the letters that may stand there"
    ),
    r"unclosed group": r"a ( is not closed; add ), or write \\( for the letter",
    r"unopened group": r"a ) closes nothing; add (, or write \\) for the letter",
    r"unclosed character class": r"a [ is not closed; add ], or write \\[ for the letter",
    r"repetition operator missing": "one of * + ? {m,n} has nothing before it; put a backslash there for the letter",
    r"invalid repetition count range": "the first number of {m,n} is the greater one; exchange them",
    r"unclosed counted repetition|repetition quantifier": r"a { begins no repetition; write \\{ for the letter",
    r"decimal literal": "a number in {m,n} is missing or too large; give one of at most 9 digits",
    r"property( value)? not found|class .*not found": r"\\p{...} names nothing that Unicode has; check the name",
    r"unrecognized escape": r"a backslash stands before a letter without a meaning; leave it out, or write two",
    r"incomplete escape|hexadecimal": r"an escape lacks its digits; write \\x41, \\u0041 or \\x{1F600}",
    r"character class range": "the first letter of a range such as [a-z] is the greater one; exchange them",
    r"range boundary": r"a range such as [a-z] is of two letters; write \\- for the letter",
    r"invalid UTF-8": "it matches bytes that are no text; leave (?-u) out",
    r"capture group name": "a name of a group is not valid, or is there twice; leave the names out: (?:...)",
    r"\bflags?\b": "a flag in (?...) is not known, or is missing; there are i, m, s and x",
}
_OF_RULES = {
    r'unknown name: "(.*)"|rule "(.*)" not found': (
        r"\1\2 is not defined; add a line that begins with \1\2: or correct the name"
    ),
    r"circular reference in token": (
        "a terminal, whose name is of capital letters, needs itself; with a name of small letters it is a rule"
    ),
    r"no start rule found": "there is no rule start; give the first rule this name",
    r'duplicate \w+(?: \(in import\))?: "(.*)"': r"\1 is defined twice; put both into one rule, with | between them",
    r"Expected token ':'": "a rule is a name, a colon and what it stands for; the colon is missing",
    r"Expected token '(\W)'": r"\1 is missing here",
    r"Expected value": 'something is missing here: a "text", a /regex/, a name or a group',
    r"lexer (error|special)": (
        'a "text" or a /regex/ is not closed, or a sign has no meaning; close it, or put it into quotes'
    ),
    r"Empty grammar": "it is empty; give a rule start",
    r'failed to parse "%json"': "what stands behind %json is no JSON; check its brackets and quotes",
    r"%regex": "%regex takes one of substring_chunks, substring_words and substring_chars",
    r"Unknown common regex": "%import knows a few names that begin with common. alone; define this one in the grammar",
    r"(declare|override) statement": r"%\1 is not supported; define the terminal in the grammar",
    r"params not supported|template|parametric": "parameters of a rule do not fit here; write it out for each of them",
    r"priority not": "a priority such as name.3 is not supported; leave the number out",
    r"unknown special token: (.*?); ": r"the model has no control token \1; use one of its own, or an id: <[7]>",
    r"oken range|wildcard": "<[...]> takes ids of the model's tokens, the smaller first, as in <[5-7]>",
    r"range (?:order|start|end)|number in range|ranges not supported": (
        'a range is not valid: "a".."z" is of single letters, and {m,n} from the smaller number to the greater one'
    ),
    r"unknown grammar|grammar reference": "@ refers to another grammar, and there is none; copy its rules here",
    r"in terminals|& is only|unsupported operator": (
        "a terminal, whose name is of capital letters, holds texts, regexes and terminals, and those alone may have & "
        "and ~; change the case of the name"
    ),
    r"stop|suffix|temperature|max_tokens|attribute": (
        "an option in the brackets behind the name is not known, or does not go with this rule; leave it out"
    ),
    r"[Ee]xpect": "this is no part of a rule; see llguidance's syntax, docs/syntax.md",
}
_OF_SCHEMAS = {
    r"Unsatisfiable schema: Regex is empty": (
        f"{NO_VALUE}: no text has the pattern and the lengths; change one of them"
    ),
    r"Unsatisfiable schema: (.*)": rf"{NO_VALUE}: \1; loosen one of the keywords",
    r"Unimplemented keys: \[(.*)\]": r"\1 is not supported; leave it out, or say it with other keywords",
    r"Pointer '(.*)' does not exist|Anchor '(.*?)' ": (
        r"$ref leads to nothing: there is no \1\2; define it in this schema"
    ),
    r"Resource '(.*?)' ": (
        r"\1 is of another document, and none is fetched; copy what is needed into $defs, and leave an own $schema out"
    ),
    r"Invalid type: (.*)": r"\1 is no type; there are string, number, integer, boolean, object, array and null",
    r"schema must be an object": "a schema stands here, and that is an object, true or false",
    r"'?required'? item": "required is a list of texts",
    r"Expected positive integer for '(\w+)', got (.*)": (
        r"\1 is an integer from 0, written without a point, and below 2**63; not \2"
    ),
    r"Value .* for '(\w+)' is too large": r"\1 is too large; give one below 2**63",
    r"Value for 'multipleOf' has too many digits": "multipleOf has more than 9 digits; round it",
    r"^(?:failed to compile JSON schema: )?(\S+) must be (an? .*?)(?:, got .*)?$": r"\1 must be \2",
    r"Expected (\w+) for '(\w+)', got (.*)": r"\2 must be of the type \1, not \3",
    r"Unknown format: (.*)": r"\1 is a format that is not supported; leave it out, or give a pattern",
    r"patternProperty regexes (.*) and (.*) are not|disjoint": (
        r"one key may match both \1 and \2; make them exclude each other, as ^a and ^b do"
    ),
    r"min/maxProperties only": "minProperties and maxProperties need all of properties in required, or leave them out",
    r"circular references with sibling": "what $ref refers to is itself, with keywords beside it; leave the $ref out",
    r"oneOf constraints": (
        "one value may satisfy two branches of oneOf, as far as can be seen; give each branch a required property with "
        "a const of its own, or use anyOf"
    ),
    r"Failed to generate regex for": "a bound of 19 digits or more is not supported; give a nearer one",
}
_ALL = {re.compile(key): words for key, words in {**_OF_SCHEMAS, **_OF_PATTERNS, **_OF_RULES, **_OF_SIZE}.items()}


def explained(message: str, *, placed: bool = True) -> str:
    """The place in a grammar, the cause in plain words and the way out, with llguidance's own words behind them.

    Args:
        message: llguidance's, of several lines with a picture of the source or with the state of its parser.
        placed: keep the line and the column; without it the grammar is not the caller's own.
    """
    place = _PLACE.match(message)
    where = f"line {place[1]}, column {place[2]}: " if place and placed else ""
    found = _REASON.search(message)
    lines = message.strip().splitlines() or ["no reason given"]
    reason = found[1] if found else _OF_A_REGEX.sub("", _PLACE.sub("", lines[0])).replace("f64", "number")
    words = next((hit.expand(words) for each, words in _ALL.items() if (hit := each.search(reason))), "it is not taken")
    quote = reason if len(reason) <= _LONGEST_QUOTE else f"{reason[:_LONGEST_QUOTE]}..."
    text = f"{where}{words} (llguidance: {quote})"
    return text if len(text) <= _LONGEST else f"{text[:300]} ... {text[-300:]}"
