"""The canary of one service as an object with verbs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlk8s.errors import UsageError

if TYPE_CHECKING:
    from mlk8s.assess.evidence import Block
    from mlk8s.assess.evidence.rehearse import Regression
    from mlk8s.assess.split import Split
    from mlk8s.operations.canary import CanaryStatus
    from mlk8s.operations.canary_rehearse import Rehearsal
    from mlk8s.operations.canary_watch import Watched
    from mlk8s.operations.rollout_drive import Terms
    from mlk8s.operations.rollout_tell import Told
    from mlk8s.operations.rollout_view import CanaryResult, View
    from mlk8s.operations.service import Say, Service
    from mlk8s.spec.analysis import Analysis
    from mlk8s.spec.canary import Canary


class CanaryHandle:
    """The canary of one service; state lives in the cluster, so any process can go on with it.

    Attributes:
        service: the service it belongs to.
        split: how the requests were seen to be shared out when the weight was last set here, or None.
    """

    def __init__(self, service: Service, split: Split | None = None) -> None:
        self.service = service
        self.split = split

    def __repr__(self) -> str:
        return str(self.status())

    def terms(
        self, told: Told | None = None, blind: float = 300.0, timeout: float = 180.0,
        *, say: Say | None = None, view: View | None = None, live: bool | None = None,
    ) -> Terms:  # fmt: skip
        """Return who is told of a rollout, and for how long is waited; `live` as that of `run`."""
        from mlk8s.operations.canary_known import known
        from mlk8s.operations.canary_left import left
        from mlk8s.operations.live import choose_canary
        from mlk8s.operations.rollout_drive import Terms
        from mlk8s.operations.rollout_tell import Told

        told_of = say or print
        if view is None:
            place = self.service.cluster, self.service.name, self.service.namespace
            view, told_of = choose_canary(
                live, self.service.name, told_of, lambda: left(*place), lambda: known(*place)
            )
        return Terms(told or Told(), blind, timeout, told_of, view)

    def status(self) -> CanaryStatus:
        """Return the canary's phase, weight and pods as the cluster has them now."""
        from mlk8s.operations import canary

        return canary.status(self.service)

    def weight(self, percent: int, *, force: bool = False, say: Say | None = None) -> CanaryStatus:
        """Change the share of requests, 0 to 100 percent; `force` takes over a weight somebody else set."""
        from mlk8s.operations import canary

        status = canary.set_weight(self.service, percent, force=force, say=say or print)
        self.split = status.split
        return status

    def promote(self, *, timeout: float = 180.0, say: Say | None = None) -> None:
        """Make the canary's version the service's version, then remove the canary.

        A process that works on its rollout is asked to do it.
        """
        from mlk8s.operations import canary_ask

        canary_ask.promote(self.service, timeout=timeout, say=say or print)

    def rollback(self, *, timeout: float = 120.0, say: Say | None = None) -> None:
        """Take the canary's traffic away, then the canary.

        A process that works on its rollout is asked to do it.
        """
        from mlk8s.operations import canary_ask

        canary_ask.rollback(self.service, timeout=timeout, say=say or print)

    def run(
        self,
        analysis: Analysis,
        *,
        model: str | None = None,
        header: str | None = None,
        cookie: str | None = None,
        replicas: int = 1,
        told: Told | None = None,
        blind: float = 300.0,
        timeout: float = 180.0,
        say: Say | None = None,
        view: View | None = None,
        live: bool | None = None,
    ) -> CanaryResult:
        """Bring the canary to its end by evidence: weight, then promotion or rollback; see `canary_run.run`.

        Args:
            analysis: what it has to show.
            model: the new version; None means the canary that runs already.
            header: request header that leads to it at any weight.
            cookie: name of a cookie by which a client stays with its version.
            replicas: its pods.
            told: run directory, webhook, metrics.
            blind: seconds for which Prometheus, or all its pods, may be away before it is rolled back.
            view: what shows it, in place of what `live` chooses.
            live: whether the cell of a notebook shows it while it runs, with buttons to promote, hold and
                roll back; None where there is an IPython kernel with ipywidgets.

        Raises:
            UsageError: no model is given, and there is no canary; or a live view where there is no notebook.
        """
        from mlk8s.operations import canary_run

        plan = canary_run.Plan(self._canary(model, header, cookie, replicas), analysis)
        terms = self.terms(told, blind, timeout, say=say, view=view, live=live)
        return canary_run.run(self.service, plan, terms)

    def launch(
        self,
        analysis: Analysis | None = None,
        *,
        model: str | None = None,
        header: str | None = None,
        cookie: str | None = None,
        replicas: int = 1,
        image: str | None = None,
        webhook: str | None = None,
        blind: float = 300.0,
        timeout: float = 180.0,
        say: Say | None = None,
    ) -> None:
        """Start a Job in the cluster that does what `run` does here, and return once it works on it.

        Args:
            analysis: what the canary has to show; None goes on with a rollout that nobody works on.
            image: the controller's; None means the platform's, or the one that a local cluster gets now.
            webhook: address that gets each verdict.

        Raises:
            As `run`.
            Forbidden: you may not do what the controller has to.
            RolloutFailed, WaitTimeout: its pod does not run; nothing was made of the canary.
        """
        from mlk8s.operations.canary_job import launch
        from mlk8s.operations.canary_open import Plan
        from mlk8s.operations.rollout_tell import Told

        plan = None
        if analysis is not None:
            plan = Plan(self._canary(model, header, cookie, replicas), analysis)
        terms = self.terms(Told(webhook=webhook), blind, timeout, say=say, live=False)
        launch(self.service, plan, terms, image=image)

    def follow(
        self, *, told: Told | None = None, say: Say | None = None, view: View | None = None,
        live: bool | None = None,
    ) -> CanaryResult:  # fmt: skip
        """Watch a rollout that the cluster works on until it ends, and keep its evidence here, too.

        Args:
            view, live: as `run`.

        Raises:
            ClusterError: its Job is over and the rollout is not.
        """
        from mlk8s.operations.canary_follow import follow

        return follow(self.service, self.terms(told, say=say, view=view, live=live))

    def _canary(self, model: str | None, header: str | None, cookie: str | None, replicas: int) -> Canary:
        """Return the canary that is asked for, or that runs already."""
        from mlk8s.spec.canary import Canary

        if model is None:
            found = self.status()
            if found.phase == "none" or found.model is None:
                raise UsageError(
                    f"{self.service.name} has no canary",
                    expected="model=..., the new version's address",
                )
            model, header, cookie, replicas = found.model, found.header, found.cookie, max(1, found.pods)
        return Canary(model=model, header=header, cookie=cookie, replicas=replicas)

    def rehearse(
        self,
        analysis: Analysis,
        history: str | float | Sequence[Block] | os.PathLike[str] = "1h",
        *,
        rules: Sequence[Mapping[str, Any]] = (),
        regressions: Sequence[Regression] | None = None,
        replays: int = 100,
    ) -> Rehearsal:
        """Tell what a policy would have decided on recorded counts, had a version been worse by so much.

        Args:
            history: how much of what Prometheus remembers of the service ("1h", or seconds), or blocks, or
                the path of a rollout's evidence.
            rules: Flagger Canaries or Argo AnalysisTemplates (as dicts), to be scored beside it.
            regressions: what is injected; by default nothing, 2 % and 5 % failures, 10 % slow answers.
            replays: of each regression and policy.

        Raises:
            UsageError: the history is too short or has no requests, or a rule is not understood.
        """
        from mlk8s.assess.evidence.rehearse import REGRESSIONS
        from mlk8s.operations.canary_rehearse import history_of, recorded, rehearse_policy
        from mlk8s.spec.fields import parse_duration

        blocks: Sequence[Block]
        notes: Sequence[str] = ()
        if isinstance(history, os.PathLike):
            blocks, notes = recorded(history)
        elif isinstance(history, str | float | int):
            blocks, notes = history_of(self.service, analysis, parse_duration(history))
        else:
            blocks = history
        return rehearse_policy(
            blocks,
            analysis,
            rules=rules,
            regressions=regressions or REGRESSIONS,
            replays=replays,
            notes=notes,
        )

    def resume(
        self, *, told: Told | None = None, blind: float = 300.0, timeout: float = 180.0,
        say: Say | None = None, view: View | None = None, live: bool | None = None,
    ) -> CanaryResult | None:  # fmt: skip
        """Go on with a rollout: one that was held, or one whose process is gone; arguments as `run`.

        Returns:
            How it ended; None where another process goes on with it.
        """
        from mlk8s.operations import canary_ask, canary_run

        if canary_ask.go_on(self.service, say=say or print):
            return None
        terms = self.terms(told, blind, timeout, say=say, view=view, live=live)
        return canary_run.resume(self.service, terms)

    def watch(
        self, *, seconds: float | None = None, view: View | None = None, say: Say | None = None,
        live: bool | None = None,
    ) -> Watched:  # fmt: skip
        """Show a rollout that any process works on, block by block, until it ends; then a picture is left.

        Args:
            seconds: ends the watching, not the rollout.
            view, live: as `run`.

        Raises:
            UsageError: there was no analysed rollout; or a live view where there is no notebook.
        """
        from mlk8s.operations.canary_watch import watch
        from mlk8s.operations.rollout_view import Lines

        terms = self.terms(say=say, view=view, live=live)
        shown = terms.shown
        found = watch(self.service, shown, seconds=seconds, say=terms.say)
        return replace(found, shown=view is None and not isinstance(shown, Lines))

    def hold(self, *, say: Say | None = None) -> None:
        """Keep weight and version of a running rollout as they are, except for a rollback, until `resume`."""
        from mlk8s.operations import canary_ask

        canary_ask.hold(self.service, say=say or print)
