"""The base of every declared value: frozen, validated, keyword-only."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mlk8s.errors import SpecError
from mlk8s.secrecy import plain_secrets, redact

_TEXTS = (str, dict, list, tuple)  # what can have a text in it; a Spec inside has been checked


class Spec(BaseModel):
    """A declared value that cannot change after it was checked.

    Raises:
        SpecError: on construction, naming the field's path, the value found and what was expected.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise spec_error(type(self), error) from None
        for name, value in self.__dict__.items():
            found = next(plain_secrets(value), None) if value and isinstance(value, _TEXTS) else None
            if found is None:
                continue
            where = f" (at {found[0]})" if found[0] else ""
            field = f"{type(self).__name__}.{name}"
            raise SpecError(
                f"{field}: has {found[1]} in it{where}; expected no plain secrets in a spec",
                next_step="put it into a Kubernetes Secret (`mlk8s secret create`) and refer to that",
            )

    def replace(self, **changes: Any) -> Any:
        """Return a checked copy with some fields changed.

        Raises:
            SpecError: when a changed field is not valid.
        """
        # Only what was given: a default handed on would count as given.
        values = {name: getattr(self, name) for name in self.model_fields_set} | changes
        return type(self)(**values)


def spec_error(kind: type[BaseModel], error: ValidationError) -> SpecError:
    """Turn pydantic's report into one SpecError with a line for each field that is wrong."""
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in (kind.__name__, *item["loc"]))
        if item["type"] == "extra_forbidden":
            lines.append(f"{path}: no such field" + _nearest(kind, str(item["loc"][-1])))
        elif item["type"] == "missing":
            lines.append(f"{path}: is required")
        elif item["type"] == "plain_secret":
            lines.append(f"{path}: {item['msg']}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{path}: {message}; found {_shown(item.get('input'))}")
    return SpecError("\n".join(lines), next_step=f"see help(mlk8s.{kind.__name__})")


def _nearest(kind: type[BaseModel], name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, kind.model_fields, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; fields are {', '.join(kind.model_fields)}"


def _shown(value: object, limit: int = 80) -> str:
    text = redact(repr(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"
