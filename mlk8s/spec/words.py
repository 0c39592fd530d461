"""What pydantic says, in our words; without pydantic, since the command line starts with it."""

from __future__ import annotations

import re

_WORDS = (  # pydantic's, and ours
    (r", unable to parse string as an? \w+", ""),
    (r"\bInput should be ", "expected "),
    (r"^String should match pattern ", "expected the form "),
    (r"a valid dictionary or (?:instance|object) of (\w+)", r"a \1"),
    (r"a valid tuple", "a list"),
    (r"a valid (?=[aio])", "an "),
    (r"a valid ", "a "),
)


def in_our_words(message: str) -> str:
    """Return what pydantic says in the words of this package's own messages."""
    message = message.replace("Value error, ", "")
    for theirs, ours in _WORDS:
        message = re.sub(theirs, ours, message)
    return message
