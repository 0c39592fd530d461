"""Run the user's function from the user's file; its errors are told with the user's lines only."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlk8s.errors import Mlk8sError

_MODULE = "pipeline_source"


class UserError(Mlk8sError):
    """The user's function, its result or the settings are wrong: no retry helps."""

    exit_code = 64


def call(path: Path, entry: str, parameters: Mapping[str, Any]) -> object:
    """Import the file and call the function with the parameters as keyword arguments.

    Raises:
        UserError: the file cannot be imported, has no such function, or the function raised; with the frames
            of the traceback that lie in the user's file, and the last one below it.
    """
    module_spec = importlib.util.spec_from_file_location(_MODULE, path)
    if module_spec is None or module_spec.loader is None:
        raise UserError("The pipeline's source is no Python file.", where=str(path), expected="a name in .py")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[_MODULE] = module  # dataclasses and pickle look their module up
    sys.dont_write_bytecode = True  # the source is mounted read-only
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _told(error, path, "The pipeline's source cannot be imported") from None
    function = getattr(module, entry, None)
    if not callable(function):
        names = sorted(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
        raise UserError(
            f"The pipeline's source has no function {entry!r}.",
            where=str(path),
            expected=f"one of {', '.join(names)}",
        )
    try:
        result: object = function(**parameters)
    except (Exception, SystemExit) as error:
        raise _told(error, path, f"{entry}() failed") from None
    return result


def _told(error: BaseException, path: Path, what: str) -> UserError:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(path)]
    shown = own + ([frames[-1]] if frames and frames[-1] not in own and own else [])
    if not own and isinstance(error, SyntaxError):
        shown = []
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in shown]
    where = "\n            ".join(lines) or f"{path}:{getattr(error, 'lineno', None) or 1}"
    said = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return UserError(f"{what}: {said}", where=where)
