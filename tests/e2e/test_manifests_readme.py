"""manifests/README.md: every command of it, in its order, on an empty cluster of its own.

What the page claims, its own commands check: each of them ends with an error where it is not so.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlk8s.local import native, parts
from mlk8s.local.handle import Local
from mlk8s.local.progress import SILENT, open_progress

ROOT = Path(__file__).parents[2]
README = ROOT / "manifests" / "README.md"
FAILED = """trap 'echo "line $LINENO of the commands failed: $BASH_COMMAND" >&2' ERR\n"""
PORT = int(os.environ["MLK8S_TEST_PORT"]) + 500


@pytest.fixture
def empty_cluster() -> Iterator[Local]:
    name = f"{os.environ['MLK8S_TEST_CLUSTER']}-readme"
    try:
        with open_progress() as progress:
            yield native.up(name, port=PORT, bare=True, progress=progress, yes=True)
    finally:
        native.down(name)


def commands() -> str:
    """The page's commands."""
    blocks = re.findall(r"^```(.*)\n((?s:.*?))^```$", README.read_text(), re.MULTILINE)
    assert {language for language, _ in blocks} == {"sh"}, "a block that no test runs"
    return "\n".join(text for _, text in blocks)


@pytest.mark.timeout(900)
def test_the_page_leads_from_an_empty_cluster_to_a_canaried_model(
    empty_cluster: Local, tmp_path: Path
) -> None:
    namespaces = names(empty_cluster)
    kubectl = parts.ensure(["kubectl"], progress=SILENT)["kubectl"]
    script = tmp_path / "commands.sh"
    script.write_text(FAILED + commands())
    environment = {
        **os.environ,
        "KUBECONFIG": str(empty_cluster.kubeconfig),
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        "PORT": str(PORT + 5),
    }
    output = tmp_path / "output"
    # A session of its own, so that what a failed command leaves in the background ends with it.
    with output.open("wb") as target:
        bash = subprocess.Popen(
            ["bash", "-euo", "pipefail", script],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = bash.wait(timeout=600)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        stop(bash)
    assert code == 0, f"exit code {code}, after: {output.read_text()[-6000:]}"
    assert names(empty_cluster) == namespaces, "something is left of it"


def names(local: Local) -> set[str]:
    """The cluster's namespaces and custom kinds."""
    paths = ("/api/v1/namespaces", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    return {item["metadata"]["name"] for path in paths for item in local.api().get(path)["items"]}


def stop(leader: subprocess.Popen[bytes]) -> None:
    """End the processes of its group that are still there."""
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    leader.wait()
