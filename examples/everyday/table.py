"""Counts the lines of the programs beside this file, and writes the table of docs/everyday.md.

python examples/everyday/table.py docs/everyday.md
"""

import io
import sys
import tokenize
from pathlib import Path

HERE = Path(__file__).parent
TASKS = {
    "complete": "continue a text with temperature 0.8 and top-p 0.95, up to the end of the line",
    "chat": "a system message, a question, the answer",
    "stream": "print an answer while it is written",
    "alternatives": "the five most likely next tokens, with their log-probabilities",
    "samples": "eight samples of one prompt, the same eight in the next run",
    "batch": "continue each line of a file, write each answer to another file, go on after an interruption",
    "hosted": "the question of `chat`, answered by a hosted API",
    "choose": "which of three labels fits a text",
    "structured": "an answer as JSON of a schema",
    "callers": "twenty callers at the same time in an asyncio program",
}
LIBRARIES = {  # folder: name, and the version with which the programs were run
    "decodekit": ("decodekit", ""),
    "transformers": ("transformers", "5.23.0"),
    "llama_cpp_python": ("llama-cpp-python", "0.3.36"),
    "vllm": ("vLLM", "0.32.0"),
    "litellm": ("litellm", "1.110.2"),
    "llm": ("llm", "0.36"),
    "outlines": ("outlines", "1.3.3"),
}
RUNS_MODELS = "runs models in its own process; {} takes no address of an API (`{}`)"
NONE = {
    "transformers": {
        "hosted": RUNS_MODELS.format("`pipeline`", "transformers/pipelines/__init__.py"),
        "structured": "has no constraint by a grammar or a schema (`transformers/generation/logits_process.py`)",
    },
    "llama_cpp_python": {"hosted": RUNS_MODELS.format("`Llama`", "llama_cpp/llama.py")},
    "vllm": {"hosted": RUNS_MODELS.format("`LLM`", "vllm/entrypoints/llm.py")},
    "outlines": {"alternatives": "a model answers with text, without logprobs (`outlines/models/llamacpp.py`)"},
}
BEGIN, END = "<!-- written by examples/everyday/table.py -->\n", "<!-- end -->\n"
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines_of_code(source: str) -> int:
    """How many lines have code on them: all but blank lines and comments."""
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def counted(library: str, task: str) -> int | None:
    """The lines of a program; None if there is none."""
    path = HERE / library / f"{task}.py"
    return lines_of_code(path.read_text()) if path.exists() else None


def not_longer(task: str, library: str) -> bool:
    """Whether decodekit's program is there, and the other one is not, or is not shorter."""
    ours, theirs = counted("decodekit", task), counted(library, task)
    return ours is not None and (theirs is None or ours <= theirs)


def cell(library: str, task: str) -> str:
    """The lines of a program, with a link to it."""
    count = counted(library, task)
    return "none" if count is None else f"[{count}](../examples/everyday/{library}/{task}.py)"


def written() -> str:
    """The table in Markdown, and why a program is not there."""
    heads = [f"{name} {version}".rstrip() for name, version in LIBRARIES.values()]
    rows = [["task", *heads], ["---", *("--:" for _ in LIBRARIES)]]
    rows += [[f"`{task}`: {what}", *(cell(library, task) for library in LIBRARIES)] for task, what in TASKS.items()]
    others = [library for library in LIBRARIES if library != "decodekit"]
    best = [f"{sum(not_longer(task, library) for task in TASKS)} of {len(TASKS)}" for library in others]
    rows.append(["decodekit's is there and not longer", "-", *best])
    reasons = [
        f"* {LIBRARIES[library][0]}, `{task}`: {why}.\n" for library in NONE for task, why in NONE[library].items()
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\nNo program:\n\n" + "".join(reasons)


def rewritten(page: str) -> str:
    """A page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + written() + "\n" + END + after


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(rewritten(target.read_text()))
