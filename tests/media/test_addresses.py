"""Addresses by their words: which are read, which are refused, and that nothing of them comes back in an error."""

import dataclasses
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_handler.media.address import FileAddress, S3Address, WebAddress, read_address, read_web_address
from cosmos_handler.media.networks import as_address, may_connect
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules

OPEN = FetchRules(hosts=("*", "http://plain.test"), buckets=("*",), folder="/data/in")
SECRET = "X-Amz-Signature=0123abcd"


def refusal(text: str, rules: FetchRules = OPEN) -> str:
    with pytest.raises(Refusal) as caught:
        read_address(text, rules)
    assert caught.value.reason == "address"
    assert SECRET not in caught.value.problem
    return caught.value.problem


def test_what_is_read() -> None:
    assert read_address(f"https://a.test/x/y.png?{SECRET}#t=1", OPEN) == WebAddress(
        True, "a.test", 443, f"/x/y.png?{SECRET}"
    )
    assert read_address("HTTPS://A.Test:443?q", OPEN) == WebAddress(True, "a.test", 443, "/?q")
    assert read_address("http://plain.test/a", OPEN) == WebAddress(False, "plain.test", 80, "/a")
    assert read_address("https://[2600:9000::1]/a", OPEN) == WebAddress(True, "2600:9000::1", 443, "/a")
    assert read_address("https://xn--bcher-kva.example/a", OPEN) == WebAddress(True, "xn--bcher-kva.example", 443, "/a")
    assert read_address("s3://my.bucket-1/a b/ü?x.png", OPEN) == S3Address("my.bucket-1", "a b/ü?x.png")
    assert read_address("file:///data/in/a%20b.png", OPEN) == FileAddress("/data/in/a b.png")
    assert read_address("file://localhost/data/in/c.png", OPEN) == FileAddress("/data/in/c.png")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://user:pass@a.test/", "a name or a password"),
        ("https://169.254.169.254@a.test/", "a name or a password"),
        ("https://a.test@169.254.169.254/", "a name or a password"),
        ("https://a.test:22/", "port 22"),
        ("https://a.test:99999/", "port 99999"),
        ("https://a.test:/", "proper host"),
        ("https://a.test:80x/", "proper host"),
        ("https://a.test./", "dot at its end"),
        ("https://localhost./", "dot at its end"),
        ("https:///etc/passwd", "proper host"),
        ("https://", "encoded"),
        ("https://?q", "proper host"),
        ("https://a..test/", "proper host"),
        ("https://-a.test/", "proper host"),
        ("https://a%2etest/", "proper host"),
        ("https://[::1", "proper host"),
        ("https://[fe80::1%25eth0]/", "proper host"),
        ("https://[1.2.3.4]/", "proper host"),
        ("https://a.test\\@b.test/", "backslashes"),
        ("https://a.test/\r\nHost: b.test", "encoded"),
        ("https://a.test/\t", "encoded"),
        ("https://bücher.example/", "letters outside ASCII"),
        ("https://a\u3002test/", "letters outside ASCII"),
        ("https://\uff11\uff16\uff19.254.169.254/", "letters outside ASCII"),
        ("https://\u2460\u2461\u2466.0.0.1/", "letters outside ASCII"),
        ("https://a.test/" + "x" * 9000, "characters"),
        ("http://a.test/", "not allowed without TLS"),
        ("https:a.test", "no address"),
        ("s3://Bucket/key", "proper bucket"),
        ("s3://../key", "proper bucket"),
        ("s3://a..b/key", "proper bucket"),
        ("s3://bucket", "proper key"),
        ("s3://bucket/", "proper key"),
        ("s3://bucket/" + "k" * 1025, "proper key"),
        ("s3://bucket/a\nb", "proper key"),
        ("s3://bucket/\ud800", "proper key"),
        ("file:///etc/passwd", "leads out"),
        ("file:///data/in/../../etc/passwd", "proper path"),
        ("file:///data/in/%2e%2e/%2e%2e/etc/passwd", "proper path"),
        ("file:///data/in/a%00b", "proper path"),
        ("file:///data/in/%ff", "leads out"),
        ("file:///data/inside", "leads out"),
        ("file://host/data/in/a", "proper path"),
        ("file://data/in/a", "proper path"),
    ],
)
def test_what_is_refused(address: str, says: str) -> None:
    assert says in refusal(address)


# Each is 127.0.0.1, 10.0.0.1 or a metadata service to some reader of addresses.
NUMBERS = [
    "127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "017700000001",
    "0177.0.0.1", "0177.0.0.01", "127.0.0.0x1", "127.000.000.001", "10.0.0.1", "10.1", "172.16.0.1", "192.168.0.1",
    "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "2852039166", "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376", "169.16689662", "168.63.129.16", "192.0.0.192", "198.18.0.1", "192.88.99.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[fe80::1]", "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]", "[fd00:ec2::23]", "[ff02::1]", "[2001:db8::1]", "[2001::1]", "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[64:ff9b::a00:1]", "[64:ff9b:1::7f00:1]", "[100::1]",
    "[5f00::1]",
    "[::ffff:0:127.0.0.1]", "1.2.3.4.5", "256.1.1.1", "1.2.3", "0x1.test.0x7f",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_an_ip_address_that_is_not_public_is_refused_in_every_spelling(number: str) -> None:
    refusal(f"https://{number}/latest/meta-data/")
    refusal(f"https://{number}:80/")


@pytest.mark.parametrize("number", ["8.8.8.8", "52.95.110.1", "[2600:1f18::1]", "[64:ff9b::8.8.8.8]"])
def test_a_public_one_is_read(number: str) -> None:
    assert isinstance(read_address(f"https://{number}/", OPEN), WebAddress)


def test_a_named_network_opens_itself_and_never_the_metadata_services() -> None:
    named = [ip_network(text) for text in ("10.1.0.0/16", "169.254.0.0/16", "fd00::/8", "0.0.0.0/0", "::/0")]
    texts = {"10.1.2.3": True, "fd12::1": True, "127.0.0.1": True, "169.254.169.254": False, "fd00:ec2::254": False,
             "::ffff:10.1.2.3": False, "fe80::1": False, "0.0.0.1": False, "168.63.129.16": False,
             "64:ff9b::169.254.169.254": False}  # fmt: skip
    for text, expected in texts.items():
        address = as_address(text)
        assert address is not None
        assert may_connect(address, named) is expected, text
    assert not may_connect(IPv4Address("10.2.0.1"), named[:1])


def test_the_lists_of_hosts_and_buckets() -> None:
    rules = FetchRules(hosts=("a.test", "*.b.test"), buckets=("mine",), ports=(8443,))
    for host in ("a.test", "x.b.test", "x.y.b.test"):
        assert isinstance(read_address(f"https://{host}:8443/", rules), WebAddress)
    for host in ("b.test", "x.a.test", "a.test.evil", "evil-b.test", "xb.test", "8.8.8.8"):
        assert "not allowed" in refusal(f"https://{host}:8443/?{SECRET}", rules)
    assert "port 443" in refusal("https://a.test/", rules)
    assert read_address("s3://mine/k", rules) == S3Address("mine", "k")
    assert "bucket yours" in refusal("s3://yours/k", rules)


def test_nothing_is_open_by_itself() -> None:
    for address in (f"https://a.test/?{SECRET}", "http://a.test/", "s3://bucket/key", "file:///etc/passwd"):
        assert "COSMOS_MEDIA_" in refusal(address, FetchRules())


@pytest.mark.parametrize(
    "goal", ["", "s3://b/k", "file:///etc/passwd", "data:,x", "gopher://a.test/", "//a.test/", "/x"]
)
def test_a_redirect_leads_to_the_web_only(goal: str) -> None:
    with pytest.raises(Refusal):
        read_web_address(goal, dataclasses.replace(OPEN, folder="/"))


@settings(deadline=None)
@given(st.sampled_from(["https://", "http://", "s3://", "file://", ""]), st.text())
def test_junk_is_an_address_or_refused(scheme: str, rest: str) -> None:
    try:
        place = read_address(scheme + rest, OPEN)
    except Refusal as refused:
        assert refused.reason == "address"  # noqa: PT017
    else:
        assert isinstance(place, WebAddress | S3Address | FileAddress)
