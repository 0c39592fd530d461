from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from runs import load, requests, sample, scaling_run, write

import mlk8s
from mlk8s.errors import UsageError
from mlk8s.operations.run import Run
from mlk8s.report.run import pod_rows
from mlk8s.spec.load import LoadProfile


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(scaling_run(tmp_path / "run"))


def test_totals_and_stages(run: Run) -> None:
    summary = run.summary
    assert summary.sent == 300
    assert summary.total.outcomes == {"ok": 300, "http_5xx": 5}
    first, second = summary.stages
    assert (first.offered_rps, first.ok_rps, first.error_rate) == (10.0, 10.0, 0.0)
    assert (second.offered_rps, second.ok_rps) == (20.0, 20.0)
    assert second.error_rate == pytest.approx(5 / 205)
    assert first.percentiles["p99"] == pytest.approx(0.01, rel=0.01)
    assert second.percentiles["p99"] == pytest.approx(0.2, rel=0.01)


def test_scaling(run: Run) -> None:
    scaling = run.summary.scaling
    assert (scaling.initial, scaling.highest) == (1, 2)
    assert (scaling.first_wish, scaling.first_ready, scaling.highest_ready, scaling.back) == (11, 14, 14, 30)
    assert scaling.sentence() == (
        "Ready replicas went from 1 to 2; the autoscaler wanted more after 11 s, the first new pod was ready "
        "after 14 s; back at 1 after 30 s. The SLO was broken in 10 s."
    )
    assert (scaling.down_lag, scaling.overshoot, scaling.reversals) == (10, 0, 1)
    # 41 seconds, of which replicas 2 were there from 11.5 to 29.5; each sample stands for a second
    assert scaling.replica_seconds == sum(row["replicas_current"] or 0 for row in run.timeline().to_pylist())
    assert scaling.outside_slo == 10 and scaling.lost == 5


def test_replicas_that_go_down_while_the_load_lasts(tmp_path: Path) -> None:
    profile = LoadProfile.spike(rps=10, peak=50, before=5, width=10, after=20)
    lines = [load(second) for second in range(35)]
    samples = [
        sample(second + 0.5, desired=3 if 7 <= second < 25 else 1, ready=3 if 9 <= second < 25 else 1)
        for second in range(35)
    ]
    scaling = Run.open(write(tmp_path / "run", lines, samples, profile)).summary.scaling
    assert (scaling.back, scaling.down_lag) == (25, 10), (
        "ten seconds after the peak, not at the end of the load"
    )
    assert scaling.overshoot == 0, "all three were wanted until the load fell"


def test_the_verdict_is_on_the_whole_run(run: Run) -> None:
    assert run.verdict is not None
    assert run.verdict.held is False
    assert [check.held for check in run.verdict.checks] == [False, True]


def test_times_of_pods_are_seconds_since_the_load_began(run: Run) -> None:
    (pod,) = pod_rows(run)
    assert (pod["created"], pod["ready"], pod["scheduled"]) == (-60, -53, None)
    assert pod["asked to stop"] == 30  # the grace period of 30 s is over at 60


def test_alt_text_says_what_the_plots_show(run: Run) -> None:
    alt = run.plot().alt
    for words in ("20 requests/s were offered", "305 requests", "5 http_5xx", "from 1 to 2", "at most 4.5"):
        assert words in alt


def test_plots_touch_no_global_state(tmp_path: Path) -> None:
    directory = scaling_run(tmp_path / "run")
    program = (
        "import sys; from mlk8s.operations.run import Run; import matplotlib;"
        "before = dict(matplotlib.rcParams); run = Run.open(sys.argv[1]); run.plot().save(sys.argv[2]);"
        "from matplotlib._pylab_helpers import Gcf; assert not Gcf.figs;"
        "assert 'kubernetes' not in sys.modules;"
        "assert 'locust' not in sys.modules; assert dict(matplotlib.rcParams) == before"
    )
    png = tmp_path / "plot.png"
    subprocess.run([sys.executable, "-c", program, str(directory), str(png)], check=True)
    assert png.read_bytes().startswith(b"\x89PNG")


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_report_is_one_file_that_needs_no_network(run: Run, tmp_path: Path) -> None:
    path = run.report(tmp_path / "deep" / "report.html")
    text = path.read_text()
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:image/", "#")), value
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object")]
    assert "url(" not in re.sub(r'src="[^"]*"', "", text) and "@import" not in text
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 1 and (images[0]["alt"] or "").startswith("Five plots")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for words in (
        "Verdict: broken",
        "10 requests/s",
        "v1.35.4",
        "k8s.service(&#39;iris&#39;)",
        "Prometheus could not",
    ):
        assert words in text
    assert path.stat().st_size < 1_000_000


def test_a_run_that_was_killed_says_so(tmp_path: Path) -> None:
    profile = LoadProfile.constant(rps=10, hold=60)
    lines = [load(0, in_flight=1), requests(0, [0.01] * 9), load(1, in_flight=9, waiting=2)]
    directory = write(tmp_path / "run", lines, [sample(0.5, desired=1, ready=1)], profile, ended=None)
    run = Run.open(directory)
    assert run.partial == "the load test was killed, or still runs"
    assert "PARTIAL RESULTS" in repr(run)
    assert run.summary.unanswered == 11
    assert "PARTIAL RESULTS" in run.report(tmp_path / "r.html").read_text()
    assert run.verdict is not None and run.verdict.held is None


def test_a_run_without_an_answer_is_drawn_too(tmp_path: Path) -> None:
    lines = [load(0), requests(0, [0.001] * 10, "connection", 0)]
    run = Run.open(write(tmp_path / "run", lines, [], LoadProfile.constant(rps=10, hold=1)))
    assert "Replicas were not observed" in run.plot().alt
    run.report(tmp_path / "r.html")
    empty = Run.open(write(tmp_path / "empty", [], [], LoadProfile.constant(rps=10, hold=1), slo=None))
    assert "No request was answered" in empty.plot().alt
    empty.report(tmp_path / "e.html")


def test_a_closed_loop_has_no_offered_rate(tmp_path: Path) -> None:
    lines = [load(0, offered=None), requests(0, [0.01] * 10)]
    run = Run.open(write(tmp_path / "run", lines, [], LoadProfile.closed(users=4, hold=1)))
    assert run.timeline().column("offered_rps").to_pylist() == [None]
    assert run.summary.stages[0].offered_rps is None
    assert "Users in a closed loop" in run.plot().alt
    assert "4 users" in run.report(tmp_path / "r.html").read_text()


def test_a_notebook_gets_static_html_and_text(run: Run) -> None:
    bundle = run._repr_mimebundle_()
    assert bundle["text/plain"] == repr(run)
    assert "<table>" in bundle["text/html"] and "<script" not in bundle["text/html"]
    picture = run.plot()._repr_mimebundle_()
    assert 'src="data:image/png;base64,' in picture["text/html"] and 'alt="Five plots' in picture["text/html"]


def test_a_directory_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a load test's directory"):
        Run.open(tmp_path)
    assert mlk8s.Run is Run


def test_what_the_report_says_to_do_again_makes_the_same_profile(run: Run) -> None:
    from mlk8s.report.run import again

    made: dict[str, object] = {}
    program = again(run).split("service = ")[1].split("\n", 1)[1].split("run = ")[0]
    exec("import mlk8s\n" + program, made)
    assert made["profile"] == run.profile


def test_the_command_in_the_report_is_one_that_the_command_line_takes(run: Run) -> None:
    from mlk8s.report.run import command

    assert command(run) == (
        f"mlk8s loadtest iris -n demo --body @{run.directory / 'body.json'} --steps 10,20 --hold 10s "
        "--settle 20s --slo-p99 100ms --slo-errors 0.05"
    )
    assert "mlk8s loadtest iris -n demo" in run.report().read_text()


def test_profiles_that_the_command_line_cannot_say_have_no_command(tmp_path: Path) -> None:
    from mlk8s.report.run import command

    ramp = LoadProfile.ramp(start=10, end=20, over=10)
    assert command(Run.open(write(tmp_path / "run", [load(0)], [], ramp))) is None


def steady(directory: Path, latency: float, *, rps: float = 10, failed: int = 0) -> Run:
    lines = []
    for second in range(40):
        # The first five seconds are warm-up, and slow in every run.
        took = 2.0 if second < 5 else latency * (1 + second % 7 / 100)
        lines += [load(second), requests(second, [took] * 50)]
        lines += [requests(second, [0.001] * failed, "http_5xx", 503)] if failed else []
    profile = LoadProfile.constant(rps=rps, hold=40, warmup=5)
    return Run.open(write(directory, lines, [], profile))


def test_a_run_is_compared_with_a_baseline_of_the_same_load(tmp_path: Path) -> None:
    before = steady(tmp_path / "before", 0.020)
    assert not steady(tmp_path / "same", 0.020).compare(before).worse
    slower = steady(tmp_path / "slower", 0.030).compare(before)
    assert slower.worse and "p99: 21.1 ms → 31.9 ms" in str(slower)
    assert steady(tmp_path / "failing", 0.020, failed=2).compare(before).worse
    with pytest.raises(UsageError, match="different loads"):
        steady(tmp_path / "other", 0.020, rps=20).compare(before)
    with pytest.raises(UsageError, match="block is 0"):
        before.compare(before, block=0)
    with pytest.raises(UsageError, match="confidence is 1"):
        before.compare(before, confidence=1)
    with pytest.raises(UsageError, match="3 blocks of time"):
        before.compare(before, block=10)


def test_warm_up_is_drawn_and_not_counted(tmp_path: Path) -> None:
    run = steady(tmp_path / "run", 0.020)
    assert run.summary.total.total == 35 * 50
    p99 = run.summary.percentiles["p99"]
    assert p99 is not None and p99 < 0.03
    assert "The first 5 s are warm-up" in run.report().read_text()
    assert run.timeline().num_rows == 40


def test_the_command_compares_and_its_exit_code_tells(tmp_path: Path) -> None:
    steady(tmp_path / "before", 0.020), steady(tmp_path / "after", 0.030)
    command = [sys.executable, "-m", "mlk8s", "compare", str(tmp_path / "before"), str(tmp_path / "after")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("worse than the baseline (confidence 99 %)\np50: ")
    same = subprocess.run([*command[:-1], command[-2]], capture_output=True, text=True)
    assert same.returncode == 0 and same.stdout.startswith("not certainly worse")
