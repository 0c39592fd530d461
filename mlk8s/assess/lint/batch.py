"""Jobs and CronJobs: that they end, once, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

from mlk8s.assess.lint.model import Keys, rule
from mlk8s.assess.lint.objects import Obj, mapping, number, text
from mlk8s.spec.cron import check_schedule

Found = Iterator[tuple[Keys, str]]
_TEMPLATE = ("spec", "jobTemplate", "spec")


@rule(
    "job-ttl", "warning", "object",
    "A Job that nothing owns is removed some time after its end; a CronJob's Jobs are not: its history limits do that.",
    fix="set ttlSecondsAfterFinished on the Job; remove it from a CronJob's template",
    peers="kube-linter job-ttl-seconds-after-finished",
)  # fmt: skip
def _ttl(obj: Obj) -> Found:
    if obj.kind == "Job" and not obj.owned and number(obj.spec, "ttlSecondsAfterFinished") is None:
        yield ("spec", "ttlSecondsAfterFinished"), "it stays for ever after its end"
    if obj.kind == "CronJob" and number(obj.body, *_TEMPLATE, "ttlSecondsAfterFinished") is not None:
        yield (
            (*_TEMPLATE, "ttlSecondsAfterFinished"),
            "a Job that is gone too early is not counted in the history",
        )


@rule(
    "job-deadline", "warning", "object",
    "A Job ends after some time, also when it hangs.",
    fix="set activeDeadlineSeconds",
)  # fmt: skip
def _active(obj: Obj) -> Found:
    keys = ("spec",) if obj.kind == "Job" else _TEMPLATE
    if obj.kind in ("Job", "CronJob") and number(obj.body, *keys, "activeDeadlineSeconds") is None:
        yield (*keys, "activeDeadlineSeconds"), "when it hangs, it hangs for ever"


@rule(
    "job-restart-policy", "error", "object",
    "A Job's pods have restartPolicy Never or OnFailure.",
    fix="set restartPolicy: Never",
    peers="kube-score cronjob-restartpolicy",
)  # fmt: skip
def _restart(obj: Obj) -> Found:
    if obj.kind in ("Job", "CronJob") and obj.pod is not None:
        policy = text(obj.pod.spec, "restartPolicy")
        if policy not in ("Never", "OnFailure"):
            yield (
                (*obj.pod.keys, "restartPolicy"),
                f"restartPolicy is {policy or 'not set'}: the API server refuses it",
            )


@rule(
    "cron-deadline", "warning", "object",
    "A CronJob that missed a hundred slots starts again: it has a starting deadline.",
    fix="set startingDeadlineSeconds",
    peers="kube-score cronjob-has-deadline",
)  # fmt: skip
def _starting(obj: Obj) -> Found:
    if obj.kind == "CronJob" and number(obj.spec, "startingDeadlineSeconds") is None:
        yield ("spec", "startingDeadlineSeconds"), "after a hundred missed slots it never starts again"


@rule(
    "cron-overlap", "warning", "object",
    "Runs of a CronJob do not overlap.",
    fix="set concurrencyPolicy: Forbid, or Replace",
)  # fmt: skip
def _overlap(obj: Obj) -> Found:
    if obj.kind == "CronJob" and text(obj.spec, "concurrencyPolicy") not in ("Forbid", "Replace"):
        yield ("spec", "concurrencyPolicy"), "a slow run and the next one run at the same time"


@rule(
    "cron-schedule", "error", "object",
    "A CronJob's schedule is one that Kubernetes reads, in a time zone that it names.",
    fix="write five cron fields, and set timeZone, such as Etc/UTC",
)  # fmt: skip
def _schedule(obj: Obj) -> Found:
    if obj.kind != "CronJob":
        return
    try:
        check_schedule(text(obj.spec, "schedule"))
    except ValueError as error:
        yield ("spec", "schedule"), f"the schedule is not valid: {error}"
    if not text(obj.spec, "timeZone"):
        yield ("spec", "timeZone"), "it follows the time zone of whichever machine runs the controller"


@rule(
    "indexed-job", "error", "object",
    "An indexed Job says how many indexes it has.",
    fix="set completions",
)  # fmt: skip
def _indexed(obj: Obj) -> Found:
    keys = ("spec",) if obj.kind == "Job" else _TEMPLATE
    indexed = mapping(obj.body, *keys).get("completionMode") == "Indexed"
    if obj.kind in ("Job", "CronJob") and indexed and number(obj.body, *keys, "completions") is None:
        yield (*keys, "completions"), "an indexed Job without completions: the API server refuses it"
