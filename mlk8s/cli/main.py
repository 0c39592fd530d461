"""One place where everything that can go wrong becomes a message on stderr and an exit code.

Exit codes: 0 ok, 1 a negative verdict or a failure, 2 usage, 3 rolled back, 4 timeout, 5 unreachable or
forbidden, 130 interrupted, 141 the reader of our output has gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlk8s.cli.crash import system_error, write_crash
from mlk8s.cli.interrupt import ReaderGone
from mlk8s.cli.output import show_error, warn
from mlk8s.errors import Mlk8sError, UsageError

if TYPE_CHECKING:
    from typer import TyperException

INTERRUPTED = 130
BROKEN_PIPE = 141
DEBUG = "MLK8S_DEBUG"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises.

    Args:
        arguments: what follows `mlk8s`; None means the process's own.
    """
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Mlk8sError as error:
        if os.environ.get(DEBUG):
            _traceback()
        show_error(error)
        return error.exit_code
    except SystemExit as end:  # rich ends like this where the help's reader has gone
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt as error:
        warn(str(error) or "interrupted")
        return INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        # Python would flush what is left at exit, and complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        code = _of_typer(error)
        if code is not None:
            return code
        if os.environ.get(DEBUG):
            _traceback()
        show_error(system_error(error) if isinstance(error, OSError) else write_crash(error))
        return 1


def _run(arguments: list[str]) -> object:
    """Run the command; `lint` of files goes past typer, which takes longer to import than the check takes."""
    if arguments[:1] == ["lint"]:
        from mlk8s.cli.linting import quick

        code = quick(arguments[1:])
        if code is not None:
            return code
    from mlk8s.cli.app import command

    return command().main(args=arguments, prog_name="mlk8s", standalone_mode=False)


def _of_typer(error: Exception) -> int | None:
    """Show what typer refused and return its exit code; None where the error is not typer's."""
    import typer

    if isinstance(error, typer.Abort):
        warn(str(error) or "interrupted")
        return INTERRUPTED
    if not isinstance(error, typer.TyperException):
        return None
    if error.format_message().strip():  # else the help has been shown, for want of arguments
        show_error(_usage(error))
    return int(error.exit_code)


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def _usage(error: TyperException) -> UsageError:
    """Say typer's usage errors in our own form, with the command whose help tells more."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mlk8s"
    message = error.format_message().strip()
    options = [name for name in getattr(error, "possibilities", None) or () if name.startswith("-")]
    if options:
        message = f"{getattr(error, 'message', message)}; did you mean {' or '.join(sorted(options))}?"
    from mlk8s.spec.words import in_our_words

    message = in_our_words(message)  # a validator's words stand inside typer's sentence
    return UsageError(message[:1].lower() + message[1:].rstrip("."), where=path, next_step=f"{path} --help")
