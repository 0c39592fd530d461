"""Which certificates can serve a host."""

from __future__ import annotations

import datetime

import pytest

from mlk8s.assess.certificate import certificate_faults, covers
from mlk8s.errors import UsageError
from mlk8s.operations.tls import self_signed

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def test_a_self_signed_certificate_serves_its_host_until_it_expires() -> None:
    made = self_signed("a.example.com", days=3)
    assert certificate_faults(made.certificate, made.key, "a.example.com", now()) == []
    (fault,) = certificate_faults(made.certificate, made.key, "b.example.com", now())
    assert fault == "the certificate is for a.example.com, not for b.example.com"
    (fault,) = certificate_faults(made.certificate, made.key, None, now() + 4 * DAY)
    assert fault.startswith("the certificate expired at")
    (fault,) = certificate_faults(made.certificate, made.key, None, now() - DAY)
    assert fault.startswith("the certificate is not valid before")
    assert "PRIVATE" not in repr(made)


def test_a_key_has_to_be_the_certificates() -> None:
    one, two = self_signed("a.example"), self_signed("a.example")
    assert certificate_faults(one.certificate, two.key, None, now()) == [
        "the key does not belong to the certificate"
    ]
    assert certificate_faults(one.certificate, b"", None, now()) == ["the key is not a PEM private key"]
    assert "not PEM" in certificate_faults(b"junk", one.key, None, now())[0]


@pytest.mark.parametrize(
    ("host", "covered"),
    [("a.example.com", True), ("A.Example.com", True), ("b.a.example.com", False), ("example.com", False)],
)
def test_a_wildcard_covers_one_label(host: str, covered: bool) -> None:
    assert covers(("*.example.com",), host) is covered


def test_what_no_certificate_can_be_for() -> None:
    for host, days in (("not a name", 30), ("a.example", 0)):
        with pytest.raises(UsageError):
            self_signed(host, days=days)
