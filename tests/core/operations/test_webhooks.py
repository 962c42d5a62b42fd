"""Which URLs may be notified, which addresses are public, and how a delivery is signed."""

from __future__ import annotations

import ipaddress

import pytest

from service.core.operations.webhooks import AllowedHosts, Target, is_public, key_of, signed_headers, target_of

HOSTS = AllowedHosts(["hooks.example.com", "Other.Example:8443", "127.0.0.1", "localhost", "[::1]:80", "2001:DB8::2"])


@pytest.mark.parametrize(
    "url",
    [
        *("https://hooks.example.com", "http://HOOKS.example.com:81/a?b=c", "https://hooks.example.com./x"),
        *(
            "https://other.example:8443/",
            "http://127.0.0.1:9/",
            "http://localhost:9/",
            "http://[::1]/",
            "http://[0::1]:80",
            "http://[2001:db8::2]:8080/",
        ),
    ],
)
def test_a_host_of_the_setting_is_allowed(url: str) -> None:
    assert isinstance(HOSTS.target_of(url), Target)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://example.com/", "'example.com' is not in"),
        ("https://x.hooks.example.com/", "is not in"),
        ("https://hooks.example.com.evil.org/", "is not in"),
        ("https://other.example/", "is not in"),
        ("https://[::1]:81/", "is not in"),
        ("https://hooks.example.com@evil.org/", "a user"),
        ("https://evil.org\\@hooks.example.com/", "backslashes"),
        ("https://hooks.example.com/ x", "spaces"),
        ("https://hooks.example.com/\r\nx: y", "spaces"),
        ("https://hooks.exämple.com/", "ASCII"),
        ("https://hooks.example.com/#a", "fragment"),
        ("https://hooks.example.com:99999/", "is no URL"),
        ("https://hooks.example.com:0/", "port"),
        ("https://[::1", "is no URL"),
        ("ftp://hooks.example.com/", "must begin with"),
        ("hooks.example.com", "must begin with"),
        ("https:///x", "no valid host"),
        ("http://127.1/", "no valid host"),
        ("http://0x7f000001/", "no valid host"),
        ("http://2130706433/", "no valid host"),
        ("http://[fe80::1%eth0]/", "no valid host"),
        ("https://hooks.example.com/" + "x" * 2000, "at most 2000"),
        ("", "must be a URL"),
    ],
)
def test_another_url_is_refused(url: str, fault: str) -> None:
    found = HOSTS.target_of(url)
    assert isinstance(found, str)
    assert fault in found


@pytest.mark.parametrize("entry", ["http://a.example", "a.example/x", "a@b", "", "*", "a b", "127.1", "a:b", "ä"])
def test_a_setting_that_names_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        AllowedHosts([entry])


def test_a_target_is_taken_apart() -> None:
    target = target_of("https://[2001:DB8::1]:8443/a/b?c=d")
    assert target == Target("https", "2001:db8::1", 8443, "/a/b?c=d")
    assert isinstance(target, Target)
    assert (target.authority, target.is_literal) == ("[2001:db8::1]:8443", True)
    plain = target_of("http://a.example")
    assert isinstance(plain, Target)
    assert (plain.authority, plain.path, plain.is_literal) == ("a.example", "/", False)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        *((address, False) for address in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254")),
        *((address, False) for address in ("0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1")),
        *((address, False) for address in ("::1", "::", "fc00::1", "fe80::1", "ff02::1", "2001:db8::1")),
        *((address, False) for address in ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1")),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) == public


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the specification's reference libraries."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "!" * 40]
)
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="it takes whsec_"):
        key_of(secret)
