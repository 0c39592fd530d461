"""`mlk8s canary shadow | outcomes`: a version that gets copies of the requests, and answers nobody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlk8s.cli.interrupt import leaves
from mlk8s.cli.options import Context, Form, Kubeconfig, Namespace, Output, Timeout, collect, seconds
from mlk8s.cli.output import say, show
from mlk8s.cli.target import open_namespace
from mlk8s.errors import Mlk8sError, RolledBack, UsageError

if TYPE_CHECKING:
    from mlk8s.operations.shadow import ShadowResult

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model service.")]
_EXACT = "exact"


def shadow(
    name: Name,
    model: Annotated[
        str | None, typer.Option("--model", metavar="URL", help="The other version; as deploy --model.")
    ] = None,
    bound: Annotated[
        float | None,
        typer.Option("--bound", metavar="SHARE", help="Largest accepted share of different answers (0.02)."),
    ] = None,
    percent: Annotated[
        int | None, typer.Option("--percent", metavar="PERCENT", help="Predictions that are copied (100).")
    ] = None,
    output_name: Annotated[
        str | None,
        typer.Option("--output-name", metavar="NAME", help="The model's output that is compared (all)."),
    ] = None,
    rounded: Annotated[
        str, typer.Option("--round", metavar="DIGITS|exact", help="Decimals that are compared.")
    ] = "3",
    slices: Annotated[
        str | None,
        typer.Option("--slices", metavar="NAME,...", help="Slices to test; the twenty most common without."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", metavar="SHARE", help="Accepted probability of a wrong `differ` (0.01)."),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option("--beta", metavar="SHARE", help="Accepted probability of a wrong `agree` (0.01)."),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option("--block", metavar="DURATION", help="How often answers are read and judged (10s)."),
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="DURATION", help="When it ends undecided (5m).")
    ] = None,
    max_body: Annotated[
        int | None,
        typer.Option("--max-body", metavar="BYTES", help="Larger requests are not copied (1048576)."),
    ] = None,
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", help="Pods of the shadow.")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the shadow and the copies after the verdict.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Remove a shadow that was kept, or whose process is gone.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", metavar="DIR", help="Where the answers go; ./runs/... by default."),
    ] = None,
    timeout: Timeout = None,
    output: Output = Form.TABLE,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Copy predictions to a new version that answers nobody, and test whether both answer alike.

    Exit code 0: in all slices at most --bound of the answers differ. 3: in one more of them do. 1: not enough
    requests to tell. The users' answers do not depend on it.
    """
    if (model is None) != stop:
        raise UsageError(
            "--model and --stop exclude each other, and one is needed", expected="--model URL, or --stop"
        )
    spec = None if model is None else _spec(
        model=model, bound=bound, percent=percent, output=output_name, alpha=alpha, beta=beta, block=block,
        deadline=deadline, max_body=max_body, replicas=replicas, round=_digits(rounded),
        slices=tuple(slices.split(",")) if slices else None,
    )  # fmt: skip
    wait = seconds(timeout, 180.0)
    service = open_namespace(context, namespace, kubeconfig).service(name)
    if spec is None:
        service.stop_shadow(say=say)
        return
    with leaves(f"the shadow of {name} is removed; mlk8s canary status {name} tells if anything is left"):
        result = service.shadow(spec, directory=directory, keep=keep, timeout=wait, say=say)
    _finish(result, output)


def outcomes(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Run directory of a shadow, or its shadow.jsonl.", exists=True),
    ],
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="CSV with the columns request,outcome, or JSON lines with these fields.",
            exists=True,
            dir_okay=False,
        ),
    ],
    bound: Annotated[
        float, typer.Option("--bound", metavar="SHARE", help="Accepted share of wrong predictions.")
    ] = 0.05,
    output: Output = Form.TABLE,
) -> None:
    """Test the recorded predictions of both versions against outcomes that came later.

    Exit code 0: the stable version is worse. 3: the shadow is. 1: not enough outcomes to tell.
    """
    from mlk8s.assess.evidence.outcomes import compare, read_outcomes

    if not 0 < bound < 1:
        raise UsageError(f"--bound {bound:g}", expected="more than 0 and less than 1")
    record = _read(directory)
    found = compare(record, read_outcomes(_text(labels)), bound=bound)
    rows = [str(one) for one in found.slices]
    rows += [
        f"  {who} is wrong in {'at most' if one.verdict == 'agree' else 'more than'} {100 * bound:g} %"
        for who, one in (("stable", found.slices[0].stable), ("shadow", found.slices[0].shadow))
        if one.verdict != "waiting"
    ]
    rows.append(f"  {found.known:,} outcomes known, {found.waiting:,} requests without one")
    if found.unknown:
        rows.append(f"  {found.unknown:,} outcomes of requests that nobody recorded")
    show(found.to_dict(), output, "\n".join(rows))
    if found.worse == "stable":
        return
    where = f"service {record.service}"
    if found.worse == "shadow":
        raise RolledBack(f"{record.shadow.model} is wrong more often", where=where)
    raise Mlk8sError(
        "not enough outcomes to tell which version is worse",
        where=where,
        expected="more requests that exactly one of them got wrong",
    )


def replay(directory: Path, output: Form) -> None:
    """Judge again on recorded answers.

    Raises:
        Mlk8sError: a judgement is another one than the recorded one.
    """
    record = _read(directory)
    decided, differences = record.replay(), record.differences()
    table = [f"{number:>4}  {one.verdict}: {one}" for number, one in enumerate(decided, start=1)]
    table += [f"      {one}" for one in (decided[-1].slices[1:] if decided else ())]
    table.append("\n".join(differences) or "every judgement is the recorded one")
    show([one.to_dict() for one in decided], output, "\n".join(table))
    if differences:
        raise Mlk8sError(
            f"{len(differences)} judgements differ from the recorded ones",
            where=str(directory),
            expected="the same ones; the file was changed, or another version of mlk8s wrote it",
        )


def _spec(**values: Any) -> Any:
    from mlk8s.spec.shadow import Shadow

    return Shadow(**(collect(**values) | {"round": values["round"]}))


def _digits(text: str) -> int | None:
    if text == _EXACT:
        return None
    if not text.isdigit():
        raise UsageError(f"--round {text!r}", expected=f"a number of decimals, or {_EXACT}")
    return int(text)


def _read(place: Path) -> Any:
    from mlk8s.assess.evidence.shadow_record import ShadowRecord
    from mlk8s.operations.shadow import FILE

    file = place / FILE if place.is_dir() else place
    return ShadowRecord.read(_text(file).splitlines())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(file)) from None


def _finish(result: ShadowResult, output: Form) -> None:
    values = {
        "service": result.service, "model": result.model, **result.judged.to_dict(), "lost": result.lost,
        "directory": str(result.directory), "seconds": result.seconds, "kept": result.kept,
    }  # fmt: skip
    show(values, output, str(result))
    if result.verdict == "agree":
        return
    where = f"service {result.service}"
    if result.verdict == "differ":
        names = ", ".join(one.name for one in result.judged.slices if one.verdict == "differ")
        raise RolledBack(f"{result.model} answers differently in more than the bound: {names}", where=where)
    raise Mlk8sError(
        "not decided: too few requests that both versions answered",
        where=where,
        next_step="a later --deadline, or --slices with those that matter",
    )


def register(group: typer.Typer) -> None:
    """Add the commands to `mlk8s canary`."""
    group.command("shadow")(shadow)
    group.command("outcomes")(outcomes)
