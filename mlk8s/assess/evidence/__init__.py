"""Canary decisions with evidence: counts → anytime-valid tests → a verdict that can be replayed. Pure.

    judge = Judge(analysis)
    state = judge.start(at)                # at: seconds since the epoch
    state = judge.step(state, block)       # for each block of time, in order
    decision = judge.decide(state, now)

The method, its assumptions and sources: docs/canary-method.md.
"""

from mlk8s.assess.evidence.blocks import Block, Counts
from mlk8s.assess.evidence.decision import Decision, Evidence, MetricEvidence
from mlk8s.assess.evidence.judge import Judge, State, decide
from mlk8s.assess.evidence.record import Record
from mlk8s.assess.evidence.scrapes import Cursor, Series, read_block, read_blocks, slo_edges

__all__ = [
    "Block",
    "Counts",
    "Cursor",
    "Decision",
    "Evidence",
    "Judge",
    "MetricEvidence",
    "Record",
    "Series",
    "State",
    "decide",
    "read_block",
    "read_blocks",
    "slo_edges",
]
