"""A medium from the web; runs in the short-lived process only.

A name is resolved once for every hop, every one of its addresses is held against the rules, and the connection goes to
one of these very addresses: between the check and the connection there is nothing that could change.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from cosmos_handler.media.address import WebAddress, allowed_networks, read_web_address
from cosmos_handler.media.networks import IpAddress, as_address, may_connect
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules
from cosmos_handler.media.taking import take

Resolver = Callable[[str, int], list[str]]

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_TRIED = 4
_HEADERS = {"Accept": "image/*, video/*", "Accept-Encoding": "identity", "User-Agent": "cosmos-handler"}


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a name, as this machine sees them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def fetch_web(
    place: WebAddress, output: Path, rules: FetchRules, *, max_bytes: int, resolver: Resolver = resolve
) -> None:
    """Write what lies there to `output`. Raises Refusal."""
    for _ in range(rules.max_redirects + 1):
        try:
            with closing(_connection(place, rules, resolver)) as connection:
                connection.request("GET", place.target, headers=_HEADERS)
                with connection.getresponse() as response:
                    if response.status not in _REDIRECTS:
                        _take(response, output, max_bytes)
                        return
                    goal = response.getheader("Location") or ""
        except ssl.SSLCertVerificationError:
            raise Refusal("media", "cannot be fetched: its host has no certificate that is trusted here") from None
        except TimeoutError:
            raise Refusal("media", "cannot be fetched: its host does not answer in time") from None
        except (OSError, http.client.HTTPException, ValueError):  # the last for a length that is no number
            raise Refusal("media", "cannot be fetched: the connection to its host failed") from None
        place = read_web_address(_joined(place, goal), rules)
    raise Refusal("media", f"cannot be fetched: its host redirects more than {rules.max_redirects} times")


def _joined(place: WebAddress, goal: str) -> str:
    try:
        return urljoin(place.url, goal) if goal else ""
    except ValueError:  # brackets that do not match
        return ""


def _take(response: http.client.HTTPResponse, output: Path, max_bytes: int) -> None:
    if response.status != 200:
        raise Refusal("media", f"cannot be fetched: its host answers {response.status}")
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise Refusal("media", "cannot be fetched: its host sends it compressed without being asked to")
    take(response, output, promised_bytes=response.length, max_bytes=max_bytes)


def _connection(place: WebAddress, rules: FetchRules, resolver: Resolver) -> http.client.HTTPConnection:
    if rules.proxy is not None:
        return _through_proxy(place, rules, rules.proxy)
    connection = http.client.HTTPConnection(place.host, place.port, timeout=rules.connect_seconds)
    plain = _dial(_checked_addresses(place, rules, resolver), place.port, rules.connect_seconds)
    # The name stays what certificate and Host header are about.
    connection.sock = plain
    if place.encrypted:
        connection.default_port = http.client.HTTPS_PORT
        try:
            connection.sock = _context(rules).wrap_socket(plain, server_hostname=place.host)
        except OSError:
            plain.close()
            raise
    return connection


def _through_proxy(place: WebAddress, rules: FetchRules, proxy: str) -> http.client.HTTPConnection:
    """The deployer's proxy resolves the name, so that the list of hosts is what protects."""
    if not place.encrypted:
        raise Refusal("address", "is an http: reference, which is not fetched through the proxy of this server")
    where = urlsplit(proxy)
    connection = http.client.HTTPSConnection(
        where.hostname or "", where.port or 3128, timeout=rules.connect_seconds, context=_context(rules)
    )
    connection.set_tunnel(place.host, place.port)
    return connection


def _context(rules: FetchRules) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=rules.ca_bundle)


def _checked_addresses(place: WebAddress, rules: FetchRules, resolver: Resolver) -> list[IpAddress]:
    """Where the host lies. Raises Refusal where a single one of its addresses is not within the rules."""
    number = as_address(place.host)
    texts = [place.host] if number is not None else _resolved(place, rules, resolver)
    networks = allowed_networks(rules)
    addresses = []
    for text in texts:
        address = as_address(text)
        if address is None or not may_connect(address, networks):
            raise Refusal("address", f"leads to the host {place.host[:100]}, which lies outside the public internet")
        addresses.append(address)
    return addresses


def _resolved(place: WebAddress, rules: FetchRules, resolver: Resolver) -> list[str]:
    """In a thread, since the system's resolver knows no time limit of ours; one that hangs ends with the process."""
    answers: list[list[str]] = []

    def ask() -> None:
        try:
            answers.append(resolver(place.host, place.port))
        except (OSError, UnicodeError):
            answers.append([])

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(rules.connect_seconds)
    if not answers:
        raise Refusal("media", "cannot be fetched: the name of its host is not resolved in time")
    if not answers[0]:
        raise Refusal("media", "cannot be fetched: its host is not known here")
    return answers[0]


def _dial(addresses: list[IpAddress], port: int, seconds: float) -> socket.socket:
    failure: OSError | None = None
    for address in addresses[:_MAX_TRIED]:
        try:
            return socket.create_connection((str(address), port), timeout=seconds)
        except OSError as error:
            failure = error
    raise failure or OSError("no address")
