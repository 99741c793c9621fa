"""Fetching from servers on loopback: 127.0.0.1 stands for the public internet here, 127.0.0.2 and ::1 for inside.

The rules open 127.0.0.1/32 alone. What lies inside counts its visitors, and there must never be one.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cosmos_handler.media.address import read_web_address
from cosmos_handler.media.fetch_web import Resolver, fetch_web
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules
from tests.media.web import Answer, Web, changing, make_certificate, serving

BODY = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10
OUTSIDE = ["127.0.0.1"]
STEADY = changing(OUTSIDE)


class Client:
    """Fetches, with a resolver of the test's own."""

    def __init__(self, outside: Web, inside: list[Web], folder: Path, certificate: Path) -> None:
        ports = tuple(web.port for web in (outside, *inside))
        hosts = ("*", "http://127.0.0.1", "http://127.0.0.2", "http://media.test", "http://localhost")
        self.rules = FetchRules(hosts, ports, ("127.0.0.1/32",), connect_seconds=2, ca_bundle=str(certificate))
        self.output = folder / "out"
        self.port = outside.port

    def fetch(self, address: str, resolver: Resolver = STEADY, max_bytes: int = 10_000) -> bytes:
        place = read_web_address(address, self.rules)
        fetch_web(place, self.output, self.rules, max_bytes=max_bytes, resolver=resolver)
        return self.output.read_bytes()

    def refusal(self, address: str, resolver: Resolver = STEADY, max_bytes: int = 10_000) -> Refusal:
        with pytest.raises(Refusal) as caught:
            self.fetch(address, resolver, max_bytes)
        assert "secret" not in caught.value.problem
        return caught.value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls") / "cert.pem", "media.test", "127.0.0.1", "127.0.0.2")


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def encrypted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def outside(encrypted: bool, certificate: Path) -> Iterator[Web]:
    with serving(certificate=certificate if encrypted else None) as web:
        web.answers["/a.png"] = Answer(headers={"Content-Length": str(len(BODY))}, pieces=(BODY,))
        yield web


@pytest.fixture
def inside() -> Iterator[list[Web]]:
    with serving("127.0.0.2") as second, serving("::1") as sixth:
        yield [second, sixth]
        assert (second.seen, sixth.seen) == ([], [])


@pytest.fixture
def client(outside: Web, inside: list[Web], tmp_path: Path, certificate: Path) -> Client:
    return Client(outside, inside, tmp_path, certificate)


@pytest.fixture
def base(outside: Web, encrypted: bool) -> str:
    return f"{'https' if encrypted else 'http'}://media.test:{outside.port}"


def test_what_is_allowed_is_fetched_with_its_own_name(client: Client, outside: Web, base: str) -> None:
    assert client.fetch(f"{base}/a.png?signature=secret#x") == BODY
    assert outside.seen == [("/a.png?signature=secret", f"media.test:{outside.port}")]


def test_it_goes_without_a_promised_length_and_in_chunks(client: Client, outside: Web, base: str) -> None:
    outside.answers["/until-the-end"] = Answer(pieces=(BODY[:100], BODY[100:]))
    assert client.fetch(f"{base}/until-the-end") == BODY


def test_a_redirect_within_the_rules_is_followed(client: Client, outside: Web, base: str) -> None:
    outside.answers["/1"] = Answer(302, {"Location": "/2"})
    outside.answers["/2"] = Answer(307, {"Location": f"{base}/a.png"})
    assert client.fetch(f"{base}/1") == BODY


def test_redirects_are_counted(client: Client, outside: Web, base: str) -> None:
    outside.answers["/round"] = Answer(301, {"Location": "/round"})
    assert "redirects more than 3 times" in client.refusal(f"{base}/round").problem
    assert len(outside.seen) == 4


INWARD = [
    "http://127.0.0.2:{port}/", "https://127.0.0.2:{port}/", "http://localhost:{port}/", "//127.0.0.2:{port}/",
    "http://[::1]:{six}/", "https://[::1]:{six}/", "https://[::ffff:127.0.0.2]:{port}/", "https://[::127.0.0.2]:{port}/",
    "https://[64:ff9b::127.0.0.2]:{port}/", "https://[2002:7f00:2::]:{port}/", "https://127.2:{port}/",
    "https://2130706434:{port}/", "https://0x7f000002:{port}/", "https://0x7f.0.0.2:{port}/", "https://0177.0.0.2:{port}/",
    "https://127.0.0.2.:{port}/", "https://localhost.:{port}/", "https://media.test@127.0.0.2:{port}/",
    "https://media.test:x@127.0.0.2:{port}/", "https://127.0.0.2:{port}\\@media.test/", "https://ⓛocalhost:{port}/",
    "https://127\u30020\u30020\u30022:{port}/", "http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/",
    "https://169.254.170.2/v2/credentials", "https://[fd00:ec2::254]/latest/", "https://0/", "https://metadata.internal/",
    "file:///etc/passwd", "s3://bucket/key", "ftp://127.0.0.2:{port}/", "data:image/png;base64,AAAA", "gopher://127.0.0.2/",
    "", "https://", "https://[", "http://127.0.0.2:22/", "unix:/run/docker.sock", "jar:https://127.0.0.2!/a",
]  # fmt: skip


@pytest.mark.parametrize("goal", INWARD)
def test_no_redirect_leads_inside(client: Client, outside: Web, inside: list[Web], base: str, goal: str) -> None:
    second, sixth = inside
    location = goal.format(port=second.port, six=sixth.port)
    outside.answers["/go"] = Answer(302, {"Location": location.encode().decode("latin-1")})

    def resolver(host: str, port: int) -> list[str]:
        return OUTSIDE if host == "media.test" else ["127.0.0.2"]

    assert client.refusal(f"{base}/go", resolver).reason in ("address", "media")
    if location:
        with pytest.raises(Refusal):
            client.fetch(location, resolver)


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["::1"], ["10.0.0.1"], ["169.254.169.254"], ["fd00:ec2::254"],
        ["::ffff:127.0.0.1"], ["::ffff:169.254.169.254"], ["64:ff9b::7f00:2"], ["2002:7f00:2::"], ["0.0.0.1"],
        ["100.64.0.1"], ["fe80::1%1"], ["224.0.0.1"], ["not an address"], ["127.2"],
    ],
)  # fmt: skip
def test_no_answer_of_a_name_server_leads_inside(client: Client, base: str, answer: list[str]) -> None:
    assert client.refusal(f"{base}/a.png", changing(answer)).reason == "address"


def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to(client: Client, base: str) -> None:
    assert client.fetch(f"{base}/a.png", changing(OUTSIDE, ["127.0.0.2"])) == BODY


def test_a_name_is_asked_for_anew_at_every_redirect(client: Client, outside: Web, base: str) -> None:
    outside.answers["/again"] = Answer(302, {"Location": f"{base}/a.png"})
    assert client.refusal(f"{base}/again", changing(OUTSIDE, ["127.0.0.2"])).reason == "address"
    assert [path for path, _ in outside.seen] == ["/again"]


def test_a_size_is_held_against_the_limit_as_it_is_promised_and_as_it_comes(
    client: Client, outside: Web, base: str
) -> None:
    assert len(client.fetch(f"{base}/a.png", max_bytes=len(BODY))) == len(BODY)
    assert client.refusal(f"{base}/a.png", max_bytes=len(BODY) - 1).reason == "too_large"
    outside.answers["/endless"] = Answer(pieces=(bytes(2000),) * 1000)
    assert client.refusal(f"{base}/endless", max_bytes=5000).reason == "too_large"
    assert client.output.stat().st_size <= 5000
    outside.answers["/liar"] = Answer(headers={"Content-Length": "9000"}, pieces=(bytes(100),))
    assert "ends before it is whole" in client.refusal(f"{base}/liar").problem


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(404), "answers 404"),
        (Answer(500, pieces=(BODY,)), "answers 500"),
        (Answer(206, pieces=(BODY,)), "answers 206"),
        (Answer(302), "no web address"),
        (Answer(headers={"Content-Encoding": "gzip"}, pieces=(BODY,)), "compressed"),
        (Answer(headers={"Transfer-Encoding": "chunked"}, pieces=(b"nonsense\r\n",)), "failed"),
        (Answer(headers={f"X-{number}": "x" for number in range(200)}, pieces=(BODY,)), "failed"),
        (Answer(headers={"X": "x" * 100_000}, pieces=(BODY,)), "failed"),
        (Answer(headers={"Content-Length": "10"}, pieces=(b"x", 5.0)), "in time"),
    ],
)
def test_odd_servers(client: Client, outside: Web, base: str, answer: Answer, says: str) -> None:
    outside.answers["/odd"] = answer
    client.rules = replace(client.rules, connect_seconds=1)
    assert says in client.refusal(f"{base}/odd?secret").problem


def test_names_that_nobody_knows_and_servers_that_nobody_hears(client: Client, base: str) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name: secret")

    def slow(host: str, port: int) -> list[str]:
        time.sleep(30)
        return OUTSIDE

    client.rules = replace(client.rules, connect_seconds=0.2)
    assert "not known here" in client.refusal(f"{base}/a.png", unknown).problem
    assert "not resolved in time" in client.refusal(f"{base}/a.png", slow).problem
    client.rules = replace(client.rules, networks=("127.0.0.3/32",))
    assert "failed" in client.refusal(f"{base}/a.png", changing(["127.0.0.3"])).problem


@pytest.mark.parametrize("encrypted", [True], indirect=True)
def test_a_certificate_has_to_be_trusted_and_for_that_name(client: Client, outside: Web) -> None:
    assert "certificate" in client.refusal(f"https://other.test:{outside.port}/a.png").problem
    client.rules = replace(client.rules, ca_bundle=None)
    assert "certificate" in client.refusal(f"https://media.test:{outside.port}/a.png").problem
    assert outside.seen == []


def test_the_named_proxy_is_asked_to_connect_by_name(client: Client, inside: list[Web]) -> None:
    with serving() as proxy:  # one that refuses CONNECT, which is all it takes to see what it was asked
        client.rules = replace(client.rules, proxy=f"http://127.0.0.1:{proxy.port}", ports=(443,))
        assert "failed" in client.refusal("https://media.test/a.png?secret", changing(["127.0.0.2"])).problem
        assert "not fetched through the proxy" in client.refusal("http://media.test:443/a.png").problem
