"""Why a Deployment, StatefulSet, DaemonSet or ReplicaSet does not serve."""

from __future__ import annotations

from mlk8s.assess import bluegreen
from mlk8s.assess.cause import Cause
from mlk8s.assess.observed import Object, condition, is_true, place
from mlk8s.assess.rollout import RolloutFacts, assess_rollout
from mlk8s.assess.selectors import matches
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.pods import detailed, of_pods, pod_at
from mlk8s.assess.why.probes import NO_WORDS
from mlk8s.assess.why.refusals import refusal
from mlk8s.assess.why.selecting import unmatched
from mlk8s.assess.why.triggers import sleeping, triggers_cause
from mlk8s.assess.workload import WorkloadFacts, assess_workload


def pods_of(item: Object, facts: Facts) -> list[Object]:
    """Return the pods that a workload's selector matches."""
    selector = item["spec"].get("selector") or {}
    return [pod for pod in facts.of("Pod") if matches(selector, pod["metadata"].get("labels") or {})]


def deployment(item: Object, facts: Facts) -> Answer:
    """Return why a Deployment's pods do not all serve."""
    facts.want("Pod", "ReplicaSet", "Event")
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    pods = pods_of(item, facts)
    seen = RolloutFacts(
        deployment=item,
        replica_sets=facts.owned("ReplicaSet", item),
        pods=pods,
        events=facts.events,
        now=facts.now,
    )
    verdict = assess_rollout(seen)
    if verdict.cause is not None:
        better = of_pods([pod for pod in pods if not is_true(pod, "Ready")], facts)
        return _answer(verdict.summary, verdict.cause, better, pods, facts)
    if verdict.wanted == 0 and bluegreen.asleep(item):
        return Answer("the idle colour, without pods: green has the requests")
    if verdict.wanted == 0:
        return asleep(item, facts) or Answer("0 replicas", _zero(item))
    if verdict.state == "ready":
        restless = of_pods(pods, facts)
        return Answer(f"{verdict.ready} of {verdict.wanted} pods serve", restless)
    return Answer(verdict.summary, of_pods(pods, facts), starting=True)


def asleep(item: Object, facts: Facts) -> Answer | None:
    """Return how a workload of 0 replicas is that KEDA may wake; None where nothing wakes it."""
    scaled = sleeping(item, facts)
    if scaled is None:
        return None
    facts.want("Event")
    name, cause = scaled["metadata"]["name"], triggers_cause(scaled, item, facts)
    return Answer(f"0 replicas, until a trigger of ScaledObject {name} wakes it", cause)


def pod_set(item: Object, facts: Facts) -> Answer:
    """Return why a StatefulSet's or DaemonSet's pods do not all serve."""
    facts.want("Pod", "Event")
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    pods = pods_of(item, facts)
    verdict = assess_workload(WorkloadFacts(workload=item, pods=pods, events=facts.events, now=facts.now))
    if verdict.cause is not None:
        better = of_pods([pod for pod in pods if not is_true(pod, "Ready")], facts)
        return _answer(verdict.summary, verdict.cause, better, pods, facts)
    if verdict.wanted == 0 and item.get("kind") == "DaemonSet":
        words = unmatched(item["spec"]["template"], facts.of("Node"))
        if words:
            return Answer(words[0], Cause("node-selector", words[0], place(item), words[1]))
    if verdict.wanted == 0:
        return Answer("0 replicas", _zero(item))
    if verdict.state == "ready":
        return Answer(f"{verdict.ready} of {verdict.wanted} pods serve", of_pods(pods, facts))
    return Answer(verdict.summary, of_pods(pods, facts), starting=True)


def replica_set(item: Object, facts: Facts) -> Answer:
    """Return why a ReplicaSet's pods do not all serve."""
    facts.want("Pod", "Event")
    failure = condition(item, "ReplicaFailure")
    if failure.get("status") == "True":
        cause = refusal(str(failure.get("message", "")), item)
        return Answer(cause.message, cause)
    pods = facts.owned("Pod", item)
    ready = sum(is_true(pod, "Ready") for pod in pods)
    wanted = int(item["spec"].get("replicas", 1))
    return Answer(f"{ready} of {wanted} pods serve", of_pods(pods, facts), starting=ready < wanted)


def _answer(summary: str, cause: Cause, better: Cause | None, pods: list[Object], facts: Facts) -> Answer:
    """Return the rollout's cause in detail; where it is only a suspicion, the pods' own certain one."""
    if not cause.certain and better is not None:
        return Answer(summary, better)
    if NO_WORDS in cause.message:
        return Answer(summary, starting=True)
    return Answer(summary, detailed(cause, pod_at(cause, pods), facts))


def _zero(item: Object) -> Cause:
    name, kind = item["metadata"]["name"], str(item.get("kind", "Deployment")).lower()
    return Cause(
        "scaled-to-zero",
        "it has 0 replicas: nothing serves",
        place(item),
        f"`kubectl scale {kind} {name} --replicas=1`, or see the autoscaler that scaled it down",
        evidence=(f"spec.replicas: {item['spec'].get('replicas')}",),
    )
