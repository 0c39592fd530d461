"""One place where everything that can go wrong becomes a message on stderr and an exit code.

Exit codes: 0 ok, 1 a negative verdict or a failure, 2 usage, 3 rolled back, 4 timeout, 5 unreachable or
forbidden, 130 interrupted, 141 the reader of our output has gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from mlk8s.cli.crash import system_error, write_crash
from mlk8s.cli.interrupt import ReaderGone
from mlk8s.cli.output import show_error, warn
from mlk8s.errors import Mlk8sError, UsageError

INTERRUPTED = 130
BROKEN_PIPE = 141
DEBUG = "MLK8S_DEBUG"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises.

    Args:
        arguments: what follows `mlk8s`; None means the process's own.
    """
    try:
        from mlk8s.cli.app import command

        code = command().main(args=arguments, prog_name="mlk8s", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Mlk8sError as error:
        if os.environ.get(DEBUG):
            _traceback()
        show_error(error)
        return error.exit_code
    except typer.TyperException as error:
        if error.format_message().strip():  # else the help has been shown, for want of arguments
            show_error(_usage(error))
        return error.exit_code
    except SystemExit as end:  # rich ends like this where the help's reader has gone
        return end.code if isinstance(end.code, int) else 1
    except (typer.Abort, KeyboardInterrupt) as error:
        warn(str(error) or "interrupted")
        return INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        # Python would flush what is left at exit, and complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get(DEBUG):
            _traceback()
        show_error(system_error(error) if isinstance(error, OSError) else write_crash(error))
        return 1


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def _usage(error: typer.TyperException) -> UsageError:
    """Say typer's usage errors in our own form, with the command whose help tells more."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mlk8s"
    message = error.format_message().strip()
    options = [name for name in getattr(error, "possibilities", None) or () if name.startswith("-")]
    if options:
        message = f"{getattr(error, 'message', message)}; did you mean {' or '.join(sorted(options))}?"
    return UsageError(message[:1].lower() + message[1:].rstrip("."), where=path, next_step=f"{path} --help")
