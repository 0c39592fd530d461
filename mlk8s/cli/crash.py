"""What a fault of ours leaves behind: one line for the user, the whole traceback in a file."""

from __future__ import annotations

import errno
import platform
import sys
import tempfile
import traceback

from mlk8s import __version__
from mlk8s.errors import Mlk8sError
from mlk8s.secrecy import redact

_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.EIO)


def system_error(error: OSError) -> Mlk8sError:
    """Return what the machine refused: a full disk, a missing right; else it is a fault of ours."""
    if error.errno not in _MACHINE:
        return write_crash(error)
    where = error.filename if isinstance(error.filename, str) else None
    return Mlk8sError(f"this machine refused: {error.strerror}", where=where)


def write_crash(error: Exception) -> Mlk8sError:
    """Write the traceback to a file of its own and return the message that names it.

    The arguments are written too, so that the fault can be repeated; environment variables are not.
    """
    words = (str(error).splitlines() or [""])[0][:200]
    what = f"a fault in mlk8s itself: {type(error).__name__}: {words}"
    text = (
        f"mlk8s {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {sys.argv[1:]}\n\n{''.join(traceback.format_exception(error))}"
    )
    try:
        with tempfile.NamedTemporaryFile("w", prefix="mlk8s-fault-", suffix=".txt", delete=False) as file:
            file.write(redact(text))
    except OSError as refused:  # a full disk, most often
        return Mlk8sError(what, next_step=f"MLK8S_DEBUG=1 shows the traceback ({refused.strerror})")
    return Mlk8sError(
        what, where=f"the full traceback is in {file.name}", next_step="report it with that file"
    )
