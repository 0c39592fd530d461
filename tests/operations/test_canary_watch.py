"""What is said of a rollout that is watched, and of one whose process was interrupted; no cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import mlk8s
from mlk8s.assess.evidence import Block, Counts, Judge
from mlk8s.operations.canary_known import Judged
from mlk8s.operations.canary_left import left_words
from mlk8s.operations.canary_watch import Watched, changes
from mlk8s.operations.rollout_state import Packed, Rollout

ANALYSIS = mlk8s.Analysis(slo=mlk8s.Slo(errors=0.05))
ROLLOUT = Rollout(
    run="r", model="s3://m/2", digest=None, header=None, replicas=1, stage="analysing", weight=20,
    analysis=ANALYSIS.model_dump(mode="json", exclude_unset=True),
)  # fmt: skip


def packed(count: int, started: float = 0.0) -> Packed:
    counts = Counts(40, 1)
    blocks = [Block(started + 10.0 * n, 10.0, 20, counts, counts).to_dict() for n in range(count)]
    return Packed({"started": started, "blocks": blocks})


def test_blocks_are_judged_once_and_anew_when_the_evidence_begins_anew(monkeypatch: Any) -> None:
    judged, seen = Judged(), []
    step = Judge.step
    monkeypatch.setattr(Judge, "step", lambda self, state, block: seen.append(1) or step(self, state, block))
    assert judged.read(ROLLOUT, Packed()) is None
    first, second = judged.read(ROLLOUT, packed(3)), judged.read(ROLLOUT, packed(5))
    assert first is not None and second is not None
    assert len(first.entries) == 3 and second.entries[:3] == first.entries and len(seen) == 5
    assert second.differences() == []
    anew = judged.read(ROLLOUT, packed(2, started=900.0))
    assert anew is not None and len(anew.entries) == 2 and anew.started == 900.0
    other = judged.read(replace(ROLLOUT, run="another"), packed(4))
    assert other is not None and len(other.entries) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"held": "alice asked for it"}, ["held: alice asked for it"]),
        ({"weight": 40}, ["weight 40"]),
        ({"blind_since": 1.0}, ["nothing is seen of it: the weight stays"]),
        ({"unready_since": 1.0, "weight": 0},
         ["none of the canary's pods is ready: it gets no requests", "weight 0"]),
        ({"stage": "rolling-back", "why": ("too many errors",)}, ["rolling back: too many errors"]),
        ({"by": "somebody"}, []),
    ],
)  # fmt: skip
def test_changes_are_said_in_words(change: dict[str, Any], said: list[str]) -> None:
    assert changes(ROLLOUT, replace(ROLLOUT, **change)) == said


def test_what_is_over_is_said_too() -> None:
    held = replace(ROLLOUT, held="x", blind_since=1.0)
    assert changes(held, ROLLOUT) == ["is not held any more", "it is seen again"]
    assert changes(None, held)[0] == "analysing"
    ended = replace(ROLLOUT, stage="ended", outcome="rolled back", why=("blind",))
    assert changes(held, ended) == ["ended: blind"], "nobody looked, and it is held no more"


@pytest.mark.parametrize(
    ("change", "by", "words"),
    [
        ({}, None, "keeps weight 20 % and nobody watches it; `mlk8s canary resume iris` goes on"),
        ({}, "me@host:1", "goes on at weight 20 %: me@host:1 works on it"),
        ({"weight": 0, "stage": "starting"}, None, "gets no requests and nobody works on it"),
        ({"stage": "promoting"}, None, "the promotion of iris is half done"),
        ({"stage": "rolling-back"}, None, "the rollback of iris is half done"),
        ({"stage": "ended", "outcome": "promoted"}, None, "that of s3://m/2 was promoted"),
        ({"kind": "bluegreen", "stage": "switching"}, None, "the switch of iris is half done"),
        ({"kind": "bluegreen", "stage": "rolling-back"}, None, "the way back of iris is half done"),
        ({"kind": "bluegreen", "stage": "after-switch", "weight": 100}, None, "`mlk8s bluegreen abort iris`"),
    ],
)
def test_interrupt_tells_what_is_left(change: dict[str, Any], by: str | None, words: str) -> None:
    assert words in left_words("iris", replace(ROLLOUT, **change), by)
    assert left_words("iris", None, None) == "no rollout of iris was begun"


def test_picture_is_not_shown_twice() -> None:
    record = Judged().read(ROLLOUT, packed(3))
    watched = Watched("iris", replace(ROLLOUT, stage="ended", outcome="promoted"), record)
    assert str(watched).splitlines()[0].endswith(" promoted"), "what is left begins with how it ended"
    assert "text/html" in watched._repr_mimebundle_()
    assert watched.picture().figure.get_suptitle() == "iris: s3://m/2 promoted"
    assert set(replace(watched, shown=True)._repr_mimebundle_()) == {"text/plain"}
    with pytest.raises(mlk8s.errors.UsageError, match="no block to draw"):
        Watched("iris", ROLLOUT, None).picture()
