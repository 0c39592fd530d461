"""What is taken for a secret and what is not.

Every form is put together here, so that this file itself has none.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlk8s.errors import Rejected
from mlk8s.secrecy import REDACTED, looks_secret, redact, secret_name

FORMS = {
    "a private key": "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "an AWS access key id": "AKIA" + "IOSFODNN7EXAMPLE",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "x" * 20,
    "a Hugging Face token": "hf_" + "aB3" * 11,
    "a Slack token": "xoxb-" + "1234567890",
    "a Google API key": "AIza" + "x" * 35,
    "an API key": "sk-" + "proj" * 6,
    "a JSON web token": "eyJ" + "hbGciOiJI.eyJ" + "zdWIiOiIx.c2ln",
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_is_found_and_replaced_inside_other_text(kind: str) -> None:
    secret = FORMS[kind]
    text = f"before {secret} after"
    assert looks_secret(text) == kind
    assert redact(text) == f"before {REDACTED} after"


@pytest.mark.parametrize("user", ["me:", ":", "a.b%40c:"])
def test_a_url_keeps_its_address_and_loses_its_password(user: str) -> None:
    text = f"postgres://{user}" + "hunter2" + "@db:5432/x?a=b"
    assert looks_secret(text) == "a URL with a password"
    assert redact(text) == f"postgres://{REDACTED}@db:5432/x?a=b"


@pytest.mark.parametrize(
    "text",
    [
        "http://seaweedfs.mlk8s-system.svc:8333", "https://me@example.com/x", "http://a:8080/x@y",
        "-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "sha256:" + "ab" * 32, "s3://models/iris/1",
        "ASIA", "high", "eyJ", "task-runner-of-mine", "see http://a.b: then mail me@b",
    ],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert looks_secret(text) is None
    assert redact(text) == text


@given(st.text())
def test_redaction_leaves_nothing_that_looks_secret(text: str) -> None:
    assert looks_secret(redact(text + FORMS["an AWS access key id"] + " " + text)) is None


def test_names_of_secrets_and_of_other_things() -> None:
    for name in (
        "DB_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "apiKey",
        "PGPASSWORD",
        "CREDENTIALS",
    ):
        assert secret_name(name), name
    for name in ("MAX_TOKENS", "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "KEY", "SORT_KEY"):
        assert not secret_name(name), name
    assert not secret_name("DB_PASSWORD_FILE", "/etc/db/password")
    assert secret_name("DB_PASSWORD_FILE", "hunter2")


def test_what_an_error_repeats_is_redacted() -> None:
    secret = FORMS["a GitHub token"]
    error = Rejected(f"the server says: {secret}", where=f"pod with {secret}", expected=f"no {secret}")
    assert secret not in f"{error} {error!r} {error.args}" and str(error).count(REDACTED) == 3
