"""A rollout's own metrics, as a page in Prometheus' text format. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.evidence import Block, Decision

_VERDICTS = ("promote", "rollback", "waiting", "inconclusive")


def page(service: str, namespace: str, weight: int, block: Block | None, decision: Decision | None) -> str:
    """Return the page; before the first block it has the weight only."""
    own = {"namespace": namespace, "service": service}
    lines = _family("mlk8s_canary_weight_percent", "gauge", "Share of the requests that the canary gets.")
    lines.append(_sample("mlk8s_canary_weight_percent", own, weight))
    if decision is not None:
        lines += _decided(own, decision)
    if block is not None:
        name = "mlk8s_canary_block_missing"
        lines += [*_family(name, "gauge", "1 when nothing could be read of the last block."),
                  _sample(name, own, int(block.missing))]  # fmt: skip
    return "\n".join(lines) + "\n"


def _decided(own: dict[str, str], decision: Decision) -> Iterator[str]:
    name = "mlk8s_canary_verdict"
    yield from _family(name, "gauge", "1 for the verdict of the last block.")
    for word in _VERDICTS:
        yield _sample(name, {**own, "verdict": word}, int(word == decision.verdict))
    name = "mlk8s_canary_requests_total"
    yield from _family(name, "counter", "Requests that were judged.")
    for version, count in (("canary", decision.requests), ("stable", decision.stable_requests)):
        yield _sample(name, {**own, "version": version}, count)
    name = "mlk8s_canary_harmed_requests"
    yield from _family(name, "gauge", "Canary requests that were bad beyond what the SLO allows.")
    yield _sample(name, own, decision.harmed)
    if decision.to_go is not None:
        name = "mlk8s_canary_requests_to_go"
        yield from _family(name, "gauge", "Canary requests that are expected to be still needed.")
        yield _sample(name, own, decision.to_go)
    yield from _metrics(own, decision)


def _metrics(own: dict[str, str], decision: Decision) -> Iterator[str]:
    name = "mlk8s_canary_bad_ratio"
    yield from _family(name, "gauge", "Share of bad requests: bound, and ends of the canary's interval.")
    for item in decision.metrics:
        for edge, value in (("low", item.low), ("high", item.high), ("bound", item.bound)):
            yield _sample(name, {**own, "metric": item.name, "edge": edge}, value)
    for name, text in (
        ("mlk8s_canary_evidence_log10", "Decimal logarithm of the evidence for a claim."),
        ("mlk8s_canary_evidence_line_log10", "Where the claim is decided, on the same scale."),
    ):
        yield from _family(name, "gauge", text)
        for item in decision.metrics:
            for one in item.evidence:
                value = one.line if "line" in name else one.log10
                yield _sample(name, {**own, "metric": item.name, "claim": one.claim}, value)


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value:g}" if isinstance(value, float) else f"{name}{{{inside}}} {value}"
