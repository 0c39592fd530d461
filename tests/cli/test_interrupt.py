"""What a Ctrl-C says."""

from __future__ import annotations

import pytest

from mlk8s.cli.interrupt import leaves


@pytest.mark.parametrize(("words", "said"), [("", "the rest is left"), ("half is there", "half is there")])
def test_the_operations_own_words_win_over_the_commands(words: str, said: str) -> None:
    with pytest.raises(KeyboardInterrupt, match=f"^interrupted: {said}$"), leaves("the rest is left"):
        raise KeyboardInterrupt(*([words] if words else []))
