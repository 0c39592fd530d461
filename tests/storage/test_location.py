from __future__ import annotations

import pytest

from mlk8s.errors import SpecError, StorageError
from mlk8s.storage.credentials import StorageConfig
from mlk8s.storage.location import Location


@pytest.mark.parametrize(
    ("url", "bucket", "path"),
    [
        ("s3://models/iris/1", "models", "iris/1"),
        ("s3://models", "models", ""),
        ("s3://models//iris/1/", "models", "iris/1"),
        ("file:///tmp/a%20b", "", "/tmp/a b"),
        ("/tmp/a", "", "/tmp/a"),
    ],
)
def test_urls_and_paths_are_read(url: str, bucket: str, path: str) -> None:
    location = Location.parse(url)
    assert (location.bucket, location.path) == (bucket, path)
    assert Location.parse(str(location)) == location


@pytest.mark.parametrize(
    "url",
    ["", "http://models/iris", "s3://", "s3://M_odels/a", "s3://models/../x", "s3://a:b@models/x",
     "s3://models/a?versionId=1", "file://other-host/x", "s3://a..b/c", "a\0b"],
)  # fmt: skip
def test_what_is_no_place_is_refused_with_the_accepted_forms(url: str) -> None:
    with pytest.raises(SpecError) as caught:
        Location.parse(url)
    assert "a:b" not in str(caught.value)


def test_below_and_above() -> None:
    root = Location.parse("s3://models")
    assert str(root / "iris/1") == "s3://models/iris/1"
    assert (root / "iris/1").name == "1"
    assert str((root / "iris" / "1").parent) == "s3://models/iris"
    with pytest.raises(SpecError):
        root / "../other"


def test_credentials_come_from_mounted_files_and_are_not_shown(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "access-key-id").write_text("the-key\n")
    (tmp_path / "secret-access-key").write_text("the-secret\n")
    env = {"STORAGE_ENDPOINT": "http://s3:8333", "STORAGE_CREDENTIALS_DIR": str(tmp_path)}
    config = StorageConfig.from_env(env)
    assert (config.endpoint, config.access_key_id, config.secret_access_key) == (
        "http://s3:8333",
        "the-key",
        "the-secret",
    )
    assert "the-secret" not in repr(config) + str(config)


def test_aws_variables_are_the_fallback() -> None:
    config = StorageConfig.from_env(
        {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}
    )
    assert (config.endpoint, config.region) == (None, "eu-central-1")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "no credentials"),
        ({"AWS_ACCESS_KEY_ID": "k"}, "no credentials"),
        ({"STORAGE_CREDENTIALS_DIR": "/does/not/exist"}, "/does/not/exist/access-key-id"),
        ({"STORAGE_ENDPOINT": "s3:8333", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, "no URL"),
    ],
)
def test_missing_credentials_say_where_they_were_looked_for(env: dict[str, str], words: str) -> None:
    with pytest.raises(StorageError, match=words):
        StorageConfig.from_env(env)
