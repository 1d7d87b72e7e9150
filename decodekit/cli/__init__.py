"""The command line: ``decodekit generate``, ``verify``, ``replay`` and the other commands.

Results go to stdout, everything else to stderr. Exit 0: done, or proved; 1: a check or a run that failed; 2: a wrong
call, or a file to be read that is not there; 130: interrupted.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

from decodekit.cli.streams import give_up_stderr, mend_streams

__all__ = ["main"]

_EXTRA = frozenset({"typer", "rich", "click", "shellingham", "annotated_doc"})


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code.

    Args:
        argv: the arguments; those of the process when None.
    """
    mend_streams()
    arguments, debug = _without_debug(list(sys.argv[1:] if argv is None else argv))
    try:
        from decodekit.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"decodekit: the command line needs {error.name}, which is not installed: pip install 'decodekit[cli]'\n"
        )
        sys.exit(2)
    at_start = _swap_interrupt(signal.default_int_handler)
    code = run(arguments, debug=debug)
    _swap_interrupt(at_start)
    give_up_stderr()
    sys.exit(code)


def _swap_interrupt(handler: Any) -> Any:
    """Set what Ctrl-C does; returns the previous handler."""
    if threading.current_thread() is threading.main_thread() and handler is not None:
        return signal.signal(signal.SIGINT, handler)
    return None


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Accept ``--debug`` anywhere before ``--``, so that no command has to define it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [argument for argument in arguments[:end] if argument != "--debug"]
    return kept + arguments[end:], len(kept) < end
