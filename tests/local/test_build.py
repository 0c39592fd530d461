"""Builds of real Go modules: progress that knows what remains, an interrupt, and going on after it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from golang import needs_go, tiny_module

from mlk8s.errors import LocalClusterError
from mlk8s.local import build, gotool
from mlk8s.local.pins import GoBuild
from mlk8s.local.progress import SILENT, Step

pytestmark = needs_go


class Recorder:
    """Progress that remembers totals and amounts, and can press Ctrl-C."""

    def __init__(self, *, interrupt_after: int | None = None) -> None:
        self.totals: dict[str, float | None] = {}
        self.done: dict[str, float] = {}
        self._title = ""
        self._interrupt_after = interrupt_after

    @contextmanager
    def step(self, title: str, *, total: float | None = None, unit: str = "") -> Iterator[Step]:
        self._title, self.totals[title], self.done[title] = title, total, 0
        yield self

    def advance(self, amount: float = 1, *, detail: str | None = None) -> None:
        self.done[self._title] += amount
        if self._title.startswith("Build") and self.done[self._title] == self._interrupt_after:
            raise KeyboardInterrupt

    def update(
        self, *, done: float | None = None, total: float | None = None, detail: str | None = None
    ) -> None:
        if done is not None:
            self.done[self._title] = done

    def message(self, text: str) -> None:
        pass

    def paused(self) -> nullcontext[None]:
        return nullcontext()


def test_a_build_counts_what_is_stale(go_cache: None, tmp_path: Path) -> None:
    module = tiny_module(tmp_path / "tiny", packages=3)
    progress = Recorder()
    (tmp_path / "out").mkdir()
    version = build.build("tiny 1", GoBuild(str(module), {"tiny": "."}), tmp_path / "out", progress)
    output = subprocess.run([tmp_path / "out/tiny"], capture_output=True, text=True, check=True).stdout
    assert output == "tiny\n"
    assert version.startswith("go version go1.")
    # Three packages, main, and the link.
    assert progress.totals["Build tiny 1"] == 5
    assert progress.done["Build tiny 1"] == 5


def test_several_programs_are_built_at_once(go_cache: None, tmp_path: Path) -> None:
    module = tiny_module(tmp_path / "tiny")
    (module / "other").mkdir()
    (module / "other/main.go").write_text("package main\n\nfunc main() {}\n")
    (tmp_path / "out").mkdir()
    wish = GoBuild(str(module), {"tiny": "example.test/tiny", "other": "./other"})
    build.build("tiny 1", wish, tmp_path / "out", SILENT)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other", "tiny"]


def test_an_interrupt_ends_go_and_the_next_build_goes_on(go_cache: None, tmp_path: Path) -> None:
    module = tiny_module(tmp_path / "tiny", packages=12)
    (tmp_path / "out").mkdir()
    wish = GoBuild(str(module), {"tiny": "."})
    first = Recorder(interrupt_after=11)
    with pytest.raises(KeyboardInterrupt):
        build.build("tiny 1", wish, tmp_path / "out", first)
    assert list((tmp_path / "out").iterdir()) == []
    second = Recorder()
    build.build("tiny 1", wish, tmp_path / "out", second)
    assert (tmp_path / "out/tiny").exists()
    remaining, whole = second.totals["Build tiny 1"], first.totals["Build tiny 1"]
    assert whole == 14
    assert remaining is not None
    assert remaining < whole


def test_a_long_list_does_not_stop_go(go_cache: None, tmp_path: Path) -> None:
    """A cold Kubernetes has 2,400 stale packages: more than a pipe takes."""
    code = "import sys; print('x' * 1_000_000); print('go: downloading a v1', file=sys.stderr)"
    lines: list[str] = []
    assert len(build._run([sys.executable, "-c", code], tmp_path, lines.append)) == 1_000_001
    assert lines == ["go: downloading a v1"]


def test_what_does_not_compile_is_told_with_gos_words(go_cache: None, tmp_path: Path) -> None:
    module = tiny_module(tmp_path / "tiny")
    (module / "p0/p.go").write_text("package p0\n\nconst Id int = true\n")
    with pytest.raises(LocalClusterError, match=r"go build failed: .*p\.go:3"):
        build.build("tiny 1", GoBuild(str(module), {"tiny": "."}), tmp_path, SILENT)


def test_a_missing_go_sum_entry_is_an_error(go_cache: None, tmp_path: Path) -> None:
    module = tiny_module(tmp_path / "tiny")
    with (module / "go.mod").open("a") as file:
        file.write("\nrequire sigs.k8s.io/gateway-api v1.6.3\n")
    (module / "main.go").write_text(
        'package main\n\nimport _ "sigs.k8s.io/gateway-api/apis/v1"\n\nfunc main() {}\n'
    )
    with pytest.raises(LocalClusterError, match=r"go list failed: .*go\.sum"):
        build.build("tiny 1", GoBuild(str(module), {"tiny": "."}), tmp_path, SILENT)


def test_the_environment_keeps_the_users_sources(monkeypatch: pytest.MonkeyPatch, go_cache: None) -> None:
    monkeypatch.setenv("GOPROXY", "https://proxy.example")
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    environment = gotool.go_environment()
    assert environment["GOPROXY"] == "https://proxy.example"
    assert environment["GOFLAGS"] == "-modcacherw"
    assert environment["GOTOOLCHAIN"] == "local"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/arm64", (1, 27, 0)),
        ("go version devel +abcdef", ()),
    ],
)
def test_go_versions(text: str, version: tuple[int, ...]) -> None:
    assert gotool.parse_version(text) == version
