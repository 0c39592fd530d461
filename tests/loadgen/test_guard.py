from __future__ import annotations

import socket

import pytest

from mlk8s.errors import UsageError
from mlk8s.loadgen.guard import check_target


@pytest.fixture(autouse=True)
def no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/x",
        "http://127.1.2.3",
        "http://localhost:80",
        "http://[::1]:8080",
        "http://LOCALHOST.",
    ],
)
def test_loopback_is_accepted(url: str) -> None:
    check_target(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://10.201.0.7:8080",
        "http://169.254.169.254/latest",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1@example.com/",
        "http://[::ffff:10.0.0.1]/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http:///x",
        "127.0.0.1:8080",
        "",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        check_target(url)


def test_the_clusters_own_ingress_is_accepted_and_nothing_beside_it() -> None:
    assert check_target("http://10.200.0.2:30080/demo/iris", ["10.200.0.2"]) == "10.200.0.2"
    with pytest.raises(UsageError, match=r"load is not sent to 10\.200\.0\.3") as refused:
        check_target("http://10.200.0.3:30080/demo/iris", ["10.200.0.2"])
    assert "10.200.0.2" in str(refused.value)


def test_an_empty_name_allows_nothing() -> None:
    with pytest.raises(UsageError):
        check_target("http://example.com", ["", "."])


def test_a_host_that_its_user_owns_is_accepted_by_that_very_name() -> None:
    url = "http://models.example.com:8443/demo/iris"
    assert check_target(url, own="models.example.com") == "models.example.com"
    assert check_target(url, own="Models.Example.COM.") == "models.example.com"
    assert check_target("http://[2001:db8::7]:80/", own="[2001:db8::7]") == "2001:db8::7"
    with pytest.raises(UsageError, match=r"--i-own-this-target models\.example\.com"):
        check_target(url)


@pytest.mark.parametrize(
    "own", ["example.com", "*.example.com", "", "http://models.example.com", "127.0.0.1"]
)
def test_another_name_than_the_targets_allows_nothing(own: str) -> None:
    with pytest.raises(UsageError, match=r"is not what would get the load: that is models\.example\.com"):
        check_target("http://models.example.com/", own=own)
    with pytest.raises(UsageError):
        check_target("http://127.0.0.2/", own=own)  # nor is a wrong word passed over where none is needed
