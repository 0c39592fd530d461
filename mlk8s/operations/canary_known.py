"""What the cluster knows of a rollout: its blocks, judged again wherever they are read."""

from __future__ import annotations

from mlk8s.assess.evidence import Block, Decision, Judge, Record, slo_edges
from mlk8s.clients.cluster import Cluster
from mlk8s.errors import Mlk8sError
from mlk8s.operations import rollout_state
from mlk8s.operations.rollout_state import Packed, Rollout
from mlk8s.spec.analysis import Analysis


def known(cluster: Cluster, name: str, namespace: str) -> tuple[tuple[Block, Decision], ...]:
    """Return the blocks of a rollout that the cluster has, with what was decided; none where it is away."""
    try:
        found = rollout_state.read_all(cluster, name, namespace)
    except Mlk8sError:
        return ()
    record = Judged().read(*found) if found is not None else None
    return record.entries if record is not None else ()


class Judged:
    """The blocks that a rollout has in the cluster, judged again: each once, however often they are read."""

    def __init__(self) -> None:
        self._begun: tuple[str, float] | None = None
        self._entries: list[tuple[Block, Decision]] = []

    def read(self, rollout: Rollout, packed: Packed) -> Record | None:
        """Return them with what was decided; None before the first weight."""
        if packed.state is None:
            return None
        started, blocks = float(packed.state["started"]), packed.state["blocks"]
        begun = rollout.run, started
        if begun != self._begun or len(blocks) < len(self._entries):  # the evidence began anew
            analysis = Analysis(**rollout.analysis)
            edges, _ = slo_edges(analysis.slo)
            self._begun, self._judge, self._entries = begun, Judge(analysis, edges=edges), []
            self._state = self._judge.start(started)
        for item in blocks[len(self._entries) :]:
            block = Block.from_dict(item)
            self._state = self._judge.step(self._state, block)
            self._entries.append((block, self._judge.decide(self._state)))
        return Record(self._judge.analysis, started, tuple(self._entries), self._judge.edges)
