"""Why a Job does not succeed, and why a CronJob starts none."""

from __future__ import annotations

from dataclasses import replace

from mlk8s.assess.cause import Cause, short
from mlk8s.assess.job import JobFacts, assess_job
from mlk8s.assess.observed import Object, events_of, place
from mlk8s.assess.why.deletion import held
from mlk8s.assess.why.facts import Answer, Facts
from mlk8s.assess.why.pods import detailed, pod_at, with_words
from mlk8s.assess.why.refusals import refusal

_GO_ON = """'{"spec":{"suspend":false}}'"""
_SCHEDULES = {
    "InvalidSchedule": "cron-schedule",
    "UnparseableSchedule": "cron-schedule",
    "UnParseableCronJobSchedule": "cron-schedule",
    "UnknownTimeZone": "cron-time-zone",
    "TooManyMissedTimes": "cron-missed",
    "MissSchedule": "cron-missed",
    "JobAlreadyActive": "cron-still-running",
}


def job(item: Object, facts: Facts) -> Answer:
    """Return why a Job does not succeed."""
    facts.want("Pod", "Event")
    stuck = held(item, facts)
    if stuck is not None:
        return Answer(stuck.message, stuck)
    if item["spec"].get("suspend"):
        queue = (item["metadata"].get("labels") or {}).get("kueue.x-k8s.io/queue-name")
        remedy = _resume("job", item)
        waits = f"; Kueue admits it from queue {queue}" if queue else ""
        cause = Cause("job-suspended", f"the Job is suspended{waits}", place(item), remedy)
        return Answer("suspended", cause)
    pods = facts.owned("Pod", item)
    verdict = assess_job(JobFacts(job=item, pods=pods, events=facts.events, now=facts.now))
    if verdict.cause is not None:
        cause = verdict.cause
        where = pod_at(cause, pods)
        cause = with_words(cause, facts) if cause.logs else detailed(cause, where, facts)
        return Answer(verdict.summary, cause)
    return Answer(verdict.summary, starting=verdict.state == "running")


def cron_job(item: Object, facts: Facts) -> Answer:
    """Return why a CronJob does not start Jobs, or why the last one failed."""
    facts.want("Job", "Event", "Pod")
    spec = item["spec"]
    if spec.get("suspend"):
        remedy = _resume("cronjob", item)
        cause = Cause("cron-suspended", "the CronJob is suspended: it starts nothing", place(item), remedy)
        return Answer("suspended", cause)
    told = _told(item, facts)
    if told is not None:
        return Answer(told.message, told)
    jobs = sorted(facts.owned("Job", item), key=lambda j: str(j["metadata"].get("creationTimestamp")))
    if jobs:
        answer = job(jobs[-1], facts)
        last = f"its last Job {jobs[-1]['metadata']['name']}: {answer.summary}"
        if answer.cause is not None:
            message = f"its last Job, {jobs[-1]['metadata']['name']}, failed: {answer.cause.message}"
            return Answer(last, replace(answer.cause, message=message))
        return Answer(last)
    since = item.get("status", {}).get("lastScheduleTime")
    words = f"it last started at {since}" if since else "its first time has not come yet"
    return Answer(f"{words}; schedule {spec.get('schedule')} {spec.get('timeZone', '')}".strip())


def _told(item: Object, facts: Facts) -> Cause | None:
    """Return what the CronJob controller says; a Job that it started later ends what it said before."""
    for event in reversed(events_of(item, facts.events)):
        reason, words = str(event.get("reason")), short(str(event.get("message", "")))
        if reason == "SuccessfulCreate":
            return None
        if reason == "FailedCreate":
            return refusal(words, item)
        key = _SCHEDULES.get(reason)
        if key is None:
            continue
        spec = item["spec"]
        schedule, zone = spec.get("schedule"), spec.get("timeZone")
        message, remedy = {
            "cron-schedule": (
                f"its schedule {schedule!r} never comes: {words}",
                f"correct spec.schedule {schedule!r}: minute, hour, day of month, month, day of week",
            ),
            "cron-time-zone": (
                f"its time zone {zone!r} is not known: {words}",
                "use a name of the tz database, such as Europe/Berlin, in spec.timeZone",
            ),
            "cron-missed": (
                f"it missed its starts: {words}",
                "set spec.startingDeadlineSeconds (200 or more), or see why the controller was away",
            ),
            "cron-still-running": (
                f"the run before still goes on: {words}",
                "set concurrencyPolicy to Replace or Allow, or give the Job activeDeadlineSeconds",
            ),
        }[key]
        return Cause(key, message, place(item), remedy, evidence=(f"{reason}: {words}",))
    return None


def _resume(kind: str, item: Object) -> str:
    metadata = item["metadata"]
    return f"`kubectl patch {kind} {metadata['name']} -n {metadata.get('namespace')} -p {_GO_ON}`"
