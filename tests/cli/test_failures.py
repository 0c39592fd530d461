"""Whatever a user can do wrong without a cluster: one message, the right exit code, no traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from shell import PYTHON, mlk8s, nowhere

from mlk8s.cli.main import run

MODEL = ("--model", "s3://models/iris/1")


def kubeconfig(path: Path, server: str = "https://127.0.0.1:1") -> Path:
    path.write_text(
        f"""apiVersion: v1
kind: Config
current-context: one
clusters: [{{name: c, cluster: {{server: '{server}'}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts:
- {{name: one, context: {{cluster: c, user: u}}}}
- {{name: two, context: {{cluster: c, user: u}}}}
"""
    )
    return path


def failure(*arguments: str, code: int, **options: object) -> str:
    done = mlk8s(*arguments, **options)  # type: ignore[arg-type]
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0].startswith("error: ") or "error: " in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("frobnicate",), "no such command"),
        (("deploy", "iris", "--modell", "x"), "did you mean --model"),
        (("deploy", "iris"), "--model, or -f FILE"),
        (("deploy", "Iris", *MODEL), "DNS-1123"),
        (("deploy", "iris", "--model", "iris"), "s3://BUCKET/PATH"),
        (("deploy", "iris", *MODEL, "--memory", "much"), "quantity"),
        (("deploy", "iris", *MODEL, "--replicas", "two"), "--replicas"),
        (("deploy", "iris", *MODEL, "--timeout", "soon"), "duration"),
        (("deploy", "iris", *MODEL, "-f", "x.yaml"), "one place"),
        (("deploy", "-f", "/not/there.yaml"), "No such file"),
        (("deploy", "iris", *MODEL, "-o", "json"), "no such option"),
        (("services", "-o", "xml"), "xml"),
        (("predict", "iris", "--data", "[["), "not JSON"),
        (("config", "create", "shared"), "no value is given"),
        (("config", "create", "shared", "--from-literal", "mode"), "is not KEY=VALUE"),
        (("config", "create", "a", "--from-literal", "b=1", "--from-literal", "b=2"), "'b' is given twice"),
        (("config", "create", "shared", "--from-file", "/not/there"), "No such file"),
        (("predict", "iris"), "--data"),
        (("canary", "start", "iris", *MODEL, "--weight", "101"), "weight"),
        (("canary", "start", "iris", *MODEL, "--header", "a b"), "header"),
        (("job", "run", "a"), "--source"),
        (("loadtest", "iris", "--steps", "1"), "--data and --body"),
        (("loadtest", "iris", "--data", "[[1]]"), "--steps"),
        (("loadtest", "iris", "--data", "[[1]]", "--steps", "1,x"), "--steps"),
        (("loadtest", "iris", "--data", "[[1]]", "--steps", "1000000"), "rps"),
        (("size", "iris", "--slo-p99", "1s"), "--data and --body"),
        (("size", "iris", "--data", "[[1]]"), "a size needs a promise"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1s", "--peak", "0"), "peak is 0"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1s", "--ramp", "soon"), "duration"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1s", "--pod-hour-price", "-1"), "pod_hour_price"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1s", "--metric", "cpu"), "metric is 'cpu'"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1s", "--within", "10s"), "60 to 3600 seconds"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1m"), "at most 20 s"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1s", "--confidence", "1"), "confidence is 1"),
        (("size", "iris", "--data", "[[1]]", "--slo-p99", "1s", "--precision", "0"), "precision is 0"),
        (("metric", "add", "queue-length", "--series", "jobs"), "lower-case letters, digits and '_'"),
        (("metric", "add", "queue", "--series", "jobs", "--label", "a"), "KEY=VALUE"),
        (("report", "/not/there"), "not a load test's directory"),
        (("up", "--port", "80"), "--port"),
        (("up", "--driver", "docker"), "docker"),
        (("up", "--name", "Not_A_Name"), "Not_A_Name"),
        (("up", "--bare", "--with", "keda"), "--bare"),
        (("demo", "--notebook", "/not/there.ipynb"), "no such notebook"),
    ],
)
def test_bad_usage_is_2(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # in this process: a process for each would take most of a minute
    for name, value in nowhere(tmp_path).items():
        monkeypatch.setenv(name, value or "")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    out, message = capsys.readouterr()
    assert out == "" and message.startswith("error: ") and words in message, message


GONE = "/not/there"


@pytest.mark.parametrize(
    "command",
    [
        f"apply -f {GONE}",
        f"diff -f {GONE}",
        f"deploy -f {GONE}",
        f"deploy iris --model s3://models/iris/1 --config-file /etc/x={GONE}",
        f"export -f {GONE}",
        f"lint {GONE} --server",
        f"lint pod/x --config {GONE}",
        f"job run -f {GONE}",
        f"job run features --to s3://features/x --source {GONE}",
        f"cron apply -f {GONE}",
        f"predict iris --data @{GONE}",
        f"predict iris --data [[1]] --cacert {GONE}",
        f"loadtest iris --steps 1 --data @{GONE}",
        f"loadtest iris --steps 1 --body @{GONE}",
        f"loadtest iris --steps 1 --data [[1]] --cacert {GONE}",
        f"secret create keys --from-file {GONE}",
        f"secret create keys --from-file user={GONE}",
        f"secret create keys --from-env-file {GONE}",
        f"tls create way-in --host a.example --cert {GONE} --key {GONE}",
        f"image build --base python --output {GONE}/image.tar",
        f"image build --base python --sbom {GONE}/sbom.json",
        f"image build --base python --requirements {GONE}",
        f"image build --base python --model {GONE}",
        f"image build --base python --ca-file {GONE}",
    ],
)
def test_a_file_that_is_not_there_is_named_before_any_cluster_is_looked_for(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in nowhere(tmp_path).items():
        monkeypatch.setenv(name, value or "")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert run(command.split()) == 2
    out, message = capsys.readouterr()
    assert out == "" and GONE in message and "kubeconfig" not in message, message


@pytest.mark.parametrize("arguments", [("frobnicate",), ("deploy", "iris"), ("deploy", "Iris", *MODEL)])
def test_the_process_ends_with_that_code(arguments: tuple[str, ...], tmp_path: Path) -> None:
    failure(*arguments, code=2, env=nowhere(tmp_path), cwd=tmp_path)


def test_a_file_with_a_fault_names_its_line(tmp_path: Path) -> None:
    text = (
        "apiVersion: mlk8s.dev/v1\nkind: ModelService\nmetadata: {name: iris}\nspec:\n  modle: s3://m/i/1\n"
    )
    message = failure("deploy", "-f", "-", code=2, env=nowhere(tmp_path), stdin=text)
    assert "<stdin>:5: spec.modle: no such field; did you mean 'model'?" in message


def test_no_kubeconfig_lists_what_was_tried(tmp_path: Path) -> None:
    message = failure("services", code=5, env=nowhere(tmp_path))
    assert (
        "KUBECONFIG (not set)" in message and f"{tmp_path}/.kube/config" in message and "mlk8s up" in message
    )


@pytest.mark.parametrize("text", ["{{{", "- 1\n", "kind: Config\n"])
def test_a_broken_kubeconfig_is_5(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    message = failure("doctor", "--kubeconfig", str(file), code=5, env=nowhere(tmp_path))
    assert str(file) in message


def test_a_kubeconfig_that_is_not_there_is_5(tmp_path: Path) -> None:
    assert "not there" in failure("services", "--kubeconfig", "/not/there", code=5, env=nowhere(tmp_path))


def test_an_unknown_context_lists_those_that_are_there(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config")
    message = failure(
        "services", "--kubeconfig", str(file), "--context", "three", code=2, env=nowhere(tmp_path)
    )
    assert "'three'" in message and "one, two" in message


def test_a_refused_connection_is_told(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        file = kubeconfig(tmp_path / "config", f"https://127.0.0.1:{unused.getsockname()[1]}")
        message = failure("services", "--kubeconfig", str(file), code=5, env=nowhere(tmp_path))
    assert "connection refused" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_up_and_down_need_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # Somebody else's user id, but able to read a checkout wherever it lies.
    nobody += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    env = nowhere(tmp_path) | {"PATH": "/usr/bin:/bin"}
    message = failure("up", "--driver", "native", "--yes", code=1, env=env, prefix=nobody, cwd=Path("/"))
    assert "root" in message and "sudo" in message


def test_a_port_that_is_taken_is_told_before_anything_is_made(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the native driver needs root")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = min(taken.getsockname()[1], 65534)
        message = failure(
            "up", "--name", "port-test", "--driver", "native", "--yes", "--port", str(port), code=1,
            env={"MLK8S_STATE": str(tmp_path / "state")}, timeout=120,
        )  # fmt: skip
    assert str(port) in message and "--port" in message


def test_down_without_a_terminal_needs_a_yes(tmp_path: Path) -> None:
    assert "--yes" in failure("down", "--name", "nothing", code=2, env=nowhere(tmp_path))


def test_status_without_a_cluster_and_of_an_unknown_one(tmp_path: Path) -> None:
    done = mlk8s("status", env=nowhere(tmp_path))
    assert (done.returncode, done.stdout) == (0, "") and "mlk8s up" in done.stderr
    assert mlk8s("status", "-o", "json", env=nowhere(tmp_path)).stdout == "[]\n"
    assert "mlk8s up --name other" in failure("status", "--name", "other", code=1, env=nowhere(tmp_path))


def test_a_fault_of_ours_leaves_one_line_and_the_traceback_in_a_file(tmp_path: Path) -> None:
    # a module that cannot be imported stands for any fault
    (tmp_path / "yaml.py").write_text("raise RuntimeError('nobody expected this')\n")
    env = nowhere(tmp_path) | {"PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    message = failure("deploy", "-f", "-", code=1, env=env, stdin="a: b")
    assert "a fault in mlk8s itself: RuntimeError: nobody expected this" in message
    (crash,) = tmp_path.glob("mlk8s-fault-*.txt")
    assert str(crash) in message
    assert "Traceback" in crash.read_text() and "arguments: ['deploy', '-f', '-']" in crash.read_text()
    debug = mlk8s("deploy", "-f", "-", env=env | {"MLK8S_DEBUG": "1"}, stdin="a: b")
    assert debug.returncode == 1 and "Traceback" in debug.stderr


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PYTHON, "status", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"MLK8S_STATE": str(tmp_path)},
    )
    assert process.stdout is not None and process.stderr is not None
    with process.stderr:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.wait(timeout=240) == 141


def test_ctrl_c_is_130_and_one_line(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        file = kubeconfig(tmp_path / "config", f"https://127.0.0.1:{silent.getsockname()[1]}")
        process = subprocess.Popen(
            [*PYTHON, "services", "--kubeconfig", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        silent.settimeout(120)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=240)
        connection.close()
    assert process.returncode == 130
    assert out == b"" and errors.decode() == "interrupted\n"
