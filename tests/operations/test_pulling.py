from __future__ import annotations

import pytest

from mlk8s.operations.pulling import _split


def test_a_line_of_results_is_kept_as_it_was_written() -> None:
    line = b'{"t":1,"kind":"load","lag":{"12":3}, "note":"\\",\\"line\\":"}'
    text = f'{{"file":"requests-m-load-1-2.jsonl","line":{line.decode()}}}'
    assert _split(text) == ("requests-m-load-1-2.jsonl", line)


@pytest.mark.parametrize(
    "text",
    [
        "[2026-11-24 08:51:11,185] m/INFO/locust.main: Starting Locust",
        '{"file":"../facts.json","line":{"t":1}}',
        '{"file":"requests-../../x.jsonl","line":{"t":1}}',
        '{"file":"locust.log","line":{"t":1}}',
        '{"file":"requests-1.jsonl","line":3}',
        '{"file":"requests-1.jsonl","line":{"t":1',
        '{"file":["requests-1.jsonl"],"line":{}}',
    ],
)
def test_what_is_no_line_of_results_never_becomes_a_file(text: str) -> None:
    assert _split(text) == (None, b"")
