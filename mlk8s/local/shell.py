"""Run a program of the machine and turn its failure into one clear message."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Sequence

from mlk8s.errors import LocalClusterError

# A login shell of root has them; a notebook's kernel or sudo may not.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> str:
    """The full path of an installed program.

    Raises:
        LocalClusterError: it is not installed.
    """
    found = shutil.which(name, path=PATH)
    if found is None:
        raise LocalClusterError(
            f"the program '{name}' is not installed",
            expected=f"'{name}' in one of {PATH}",
            next_step="run 'mlk8s up': it names the Debian packages it needs and installs them with --yes",
        )
    return found


def run(
    arguments: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Args:
        arguments: the program's name and its arguments.
        stdin: text for its standard input.
        check: raise when it exits with another status than 0.
        timeout: seconds until it is killed.

    Raises:
        LocalClusterError: not installed, refused, or not done in time; its own words are in the message.
    """
    command = [program(arguments[0]), *arguments[1:]]
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/root")}
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalClusterError(
            f"'{' '.join(arguments[:3])}' did not end", expected=f"an answer within {timeout:g} s"
        ) from error
    except OSError as error:
        raise system_error(error, f"run '{arguments[0]}'") from error
    if check and done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")[-800:]
        raise LocalClusterError(
            f"'{' '.join(arguments[:4])}' failed: {words}",
            next_step=_advice(words),
        )
    return done


def _advice(words: str) -> str | None:
    if "No space left on device" in words:
        return "free some disk space, then run the command again: it continues"
    if "not permitted" in words:
        return "run as root on a machine that lets root make namespaces, mounts and network links"
    return None


def system_error(error: OSError, doing: str) -> LocalClusterError:
    """The error for a system call that failed; a full disk and a missing right get their own next step.

    Args:
        error: what the system said.
        doing: what was attempted, as a verb phrase.
    """
    next_step = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        next_step = "free some disk space, then run the command again: it continues"
    elif error.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        next_step = "run as root, with a state directory ($MLK8S_STATE) that root may write"
    return LocalClusterError(
        f"could not {doing}: {error.strerror or error}",
        where=str(error.filename) if error.filename else None,
        next_step=next_step,
    )
