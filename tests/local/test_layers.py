"""Image layers and archives: what is in them, and that the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pyarrow
import pytest

from mlk8s.errors import LocalClusterError, UsageError
from mlk8s.local import images
from mlk8s.local.layers import TIME, Config, Entry, folder_entries, image_config, write_archive, write_layer


def test_a_layer_has_its_parents_sorted_once(tmp_path: Path) -> None:
    layer = write_layer(
        tmp_path / "layer.tar",
        [
            Entry("/usr/bin/weed", b"binary", mode=0o755),
            Entry("/tmp", mode=0o1777),
            Entry("/etc/passwd", b"root", owner=5),
            Entry("/usr/bin/link", link="weed", mode=0o777),
        ],
    )
    content = pyarrow.input_stream(layer.path, compression="zstd").read()
    assert layer.digest == hashlib.sha256(content).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [
            "etc", "etc/passwd", "tmp", "usr", "usr/bin", "usr/bin/link", "usr/bin/weed",
        ]  # fmt: skip
        by_name = {member.name: member for member in members}
        assert by_name["usr/bin/weed"].mode == 0o755
        assert by_name["tmp"].isdir()
        assert by_name["tmp"].mode == 0o1777
        assert by_name["usr/bin/link"].linkname == "weed"
        assert (by_name["etc/passwd"].uid, by_name["etc/passwd"].gid) == (5, 5)
        assert {member.mtime for member in members} == {TIME}


def test_the_order_and_age_of_files_do_not_matter(tmp_path: Path) -> None:
    digests = set()
    for attempt, names in enumerate((["b", "a"], ["a", "b"])):
        root = tmp_path / str(attempt)
        root.mkdir()
        for name in names:
            (root / name).write_text(name)
            os.utime(root / name, (attempt * 1000, attempt * 1000))
        (root / "link").symlink_to("a")
        digests.add(write_layer(tmp_path / f"{attempt}.tar", folder_entries(root, "/app")).digest)
    assert len(digests) == 1


def test_devices_and_sockets_stay_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    assert [entry.path for entry in folder_entries(tmp_path, "/x")] == ["/x/file"]


def test_an_archive_is_what_docker_load_reads(tmp_path: Path) -> None:
    layers = [
        write_layer(tmp_path / "1.tar", [Entry("/a", b"1")]),
        write_layer(tmp_path / "2.tar", [Entry("/b", b"2")]),
    ]
    config = image_config(layers, Config(["/a"], environment={"B": "2", "A": "1"}), "arm64")
    write_archive(tmp_path / "image.tar", "localhost/mlk8s/x:1", layers, config)
    with tarfile.open(tmp_path / "image.tar") as tar:

        def read(name: str) -> bytes:
            content = tar.extractfile(name)
            assert content
            return content.read()

        (entry,) = json.loads(read("manifest.json"))
        assert entry["RepoTags"] == ["localhost/mlk8s/x:1"]
        facts = json.loads(read(entry["Config"]))
        assert entry["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
        assert (facts["architecture"], facts["os"]) == ("arm64", "linux")
        assert facts["config"]["Env"] == ["A=1", "B=2"]
        assert facts["config"]["User"] == "65532:65532"
        found = []
        for path in entry["Layers"]:
            layer = pyarrow.input_stream(io.BytesIO(read(path)), compression="zstd").read()
            found.append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        assert found == facts["rootfs"]["diff_ids"]


@pytest.fixture
def binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weed"
    path.write_bytes(b"\x7fELF program")
    return path


def test_a_static_image_is_made_once_and_always_the_same(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = images.build("seaweedfs", {"seaweedfs": binary})
    assert first.reference == "localhost/mlk8s/seaweedfs:4.48"
    made = first.archive.stat().st_mtime_ns
    assert images.build("seaweedfs", {"seaweedfs": binary}) == first
    assert first.archive.stat().st_mtime_ns == made
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path / "another"))
    again = images.build("seaweedfs", {"seaweedfs": binary})
    assert again.id == first.id
    assert again.archive.read_bytes() == first.archive.read_bytes()


def test_a_static_image_does_not_run_as_root(binary: Path) -> None:
    for name in images.STATIC_IMAGES:
        image = images.static_image(name, binary)
        with tarfile.open(image.archive) as tar:
            config = next(
                name for name in tar.getnames() if name.endswith(".json") and "manifest" not in name
            )
            content = tar.extractfile(config)
            assert content
            assert int(json.load(content)["config"]["User"].split(":")[0]) > 0
        assert ":latest" not in image.reference


def test_another_binary_replaces_the_archive(binary: Path) -> None:
    old = images.build("traefik", {"traefik": binary})
    binary.write_bytes(b"\x7fELF next version")
    new = images.build("traefik", {"traefik": binary})
    assert new.id != old.id
    assert new.archive.exists()
    assert not old.archive.exists()


def test_an_interrupted_image_is_made_again(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(images, "write_archive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            images.build("coredns", {"coredns": binary})
    image = images.build("coredns", {"coredns": binary})
    assert tarfile.is_tarfile(image.archive)


@pytest.mark.parametrize("name", ["nginx", "traefik"])
def test_what_cannot_be_made_is_told(name: str, binary: Path) -> None:
    with pytest.raises(UsageError, match=name) as raised:
        images.build(name)
    assert "server" in (raised.value.expected or "")


def test_without_catatonit_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with pytest.raises(LocalClusterError) as raised:
        images.build("pause")
    assert (raised.value.next_step or "").endswith("catatonit")


def test_layers_that_nobody_used_for_long_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLK8S_CACHE", str(tmp_path))
    layers = {
        key: images.kept_layer(images.LayerRecipe(key, lambda _work, key=key: [Entry(f"/{key}", b"")]))
        for key in ("old", "used")
    }
    for layer in layers.values():
        os.utime(layer.path.parent, (0, 0))
    images.kept_layer(images.LayerRecipe("used", lambda _work: []))
    images.kept_layer(images.LayerRecipe("new", lambda _work: []))
    assert not layers["old"].path.exists()
    assert layers["used"].path.exists()
