"""The base of every declared value: frozen, validated, keyword-only."""

from __future__ import annotations

from typing import Any, ClassVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mlk8s.errors import SpecError
from mlk8s.secrecy import plain_secrets, redact
from mlk8s.spec.words import in_our_words

_TEXTS = (str, dict, list, tuple)  # what can have a text in it; a Spec inside has been checked


class Spec(BaseModel):
    """A declared value that cannot change after it was checked.

    Raises:
        SpecError: on construction, naming the field's path, the value found and what was expected.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, *unnamed: Any, **values: Any) -> None:
        if unnamed:
            named = ", ".join(
                f"{key}=..." for key, item in type(self).model_fields.items() if item.is_required()
            )
            raise SpecError(
                f"{type(self).__name__}: {_shown(unnamed[0])} stands without the name of its field; expected "
                f"{type(self).__name__}({named or 'FIELD=...'})",
                next_step=f"see help(mlk8s.{type(self).__name__})",
            )
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

    @model_validator(mode="before")
    @classmethod
    def _one_of_one(cls, values: Any) -> Any:
        """Let one value stand where several may: `sidecars=Container(...)` is a tuple of one."""
        if not isinstance(values, dict):
            return values
        alone = [
            name
            for name, value in values.items()
            if isinstance(value, (Spec, dict))
            and name in cls.model_fields
            and get_origin(cls.model_fields[name].annotation) is tuple
        ]
        return values | {name: (values[name],) for name in alone} if alone else values

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
            lines.append(f"{path}: {in_our_words(item['msg'])}{_found(kind, item)}")
    return SpecError("\n".join(lines), next_step=f"see help(mlk8s.{kind.__name__})")


def _found(kind: type[BaseModel], item: Any) -> str:
    """Return the value that is wrong; of several fields that disagree the message itself names them."""
    value, path = item.get("input"), item["loc"]
    of_a_map = bool(path) and get_origin(kind.model_fields[path[0]].annotation) is dict
    if item["type"] == "value_error" and isinstance(value, (dict, BaseModel)) and not of_a_map:
        return ""
    return f"; found {_shown(value)}"


def _nearest(kind: type[BaseModel], name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, kind.model_fields, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; fields are {', '.join(kind.model_fields)}"


def _shown(value: object, limit: int = 80) -> str:
    text = redact(repr(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"
