"""The whole main job: the quickstart notebook on the tests' own cluster, then its report in a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def demo(local_cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Run `mlk8s demo` once; yield its output folder and what it printed."""
    out = tmp_path_factory.mktemp("demo")
    command = [Path(sys.executable).with_name("mlk8s"), "demo", "--out", out]
    done = subprocess.run(
        command,
        env=os.environ | {"MLK8S_CLUSTER": local_cluster.name},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    yield out, done.stdout
    shutil.rmtree(out)


@pytest.mark.timeout(700)
def test_demo_prints_report_notebook_and_url(demo: tuple[Path, str]) -> None:
    out, printed = demo
    assert str(out / "report.html") in printed
    assert str(out / "quickstart.ipynb") in printed
    assert "http://127.0.0.1:" in printed


def test_replicas_follow_the_load_and_come_back(demo: tuple[Path, str]) -> None:
    out, _ = demo
    timeline = pq.read_table(out / "run" / "timeline.parquet").to_pylist()
    ready = [row["replicas_ready"] for row in timeline if row["replicas_ready"] is not None]
    assert ready[0] == 1
    assert max(ready) > 1, "the autoscaler never added a pod"
    assert ready[-1] < max(ready), "the autoscaler never removed a pod after the load"
    assert json.loads((out / "run" / "timeline.json").read_text())


def test_report_opens_without_a_network(demo: tuple[Path, str]) -> None:
    out, _ = demo
    if not Path(CHROMIUM).exists():
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], check=True)
    from playwright.sync_api import sync_playwright

    requested: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.context.set_offline(True)
        page.on("request", lambda request: requested.append(request.url))
        page.goto((out / "report.html").as_uri())
        pictures = page.eval_on_selector_all(
            "img", "all => all.map(img => [img.naturalWidth, (img.alt || '').length])"
        )
        title = page.title()
        browser.close()
    assert title.startswith("Quickstart")
    assert pictures, "the report has no picture"
    assert all(width > 0 and alt > 20 for width, alt in pictures), pictures
    assert all(url.startswith(("file:", "data:")) for url in requested), requested
