"""Addresses that clients write where a medium belongs, taken apart and held against the rules; nothing is looked up."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from pathlib import PurePosixPath
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from cosmos_handler.media.networks import Network, as_address, may_connect
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules

SCHEMES = ("https", "http", "s3", "file")
_PORTS = {"https": 443, "http": 80}
_MAX_CHARACTERS = 8192
# Printable ASCII. Readers differ over the rest and over backslashes, and what two readers differ over is a way around.
_PLAIN = re.compile(r"[!-\[\]-~]+")
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
# The last label has a letter and is no 0x7f: everything else is an IP address in one of its many spellings.
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?!0x)(?=[0-9-]*[a-z]){_LABEL}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAX_KEY_BYTES = 1024


@dataclass(frozen=True)
class WebAddress:
    """A place on the web. target: path and query, as the request line has them."""

    encrypted: bool
    host: str
    port: int
    target: str

    @property
    def url(self) -> str:
        """The whole of it, to which redirects may be relative. It may hold a signature: not for logs or errors."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.encrypted else 'http'}://{host}:{self.port}{self.target}"


@dataclass(frozen=True)
class S3Address:
    """An object."""

    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> "S3Address":
        """The object or prefix of an address that is known to be one."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return cls(bucket, key)

    @property
    def uri(self) -> str:
        """As it is written."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class FileAddress:
    """A file of this machine, by its absolute path."""

    path: str


Address = WebAddress | S3Address | FileAddress


def read_address(text: str, rules: FetchRules) -> Address:
    """The address in a text, if the rules allow it. Raises Refusal, whose words never hold more of it than the host."""
    scheme, found, rest = text.partition("://")
    scheme = scheme.lower()
    if not found or scheme not in SCHEMES:
        _refuse("is no address that is read here")
    if len(text) > _MAX_CHARACTERS:
        _refuse(f"is an address of more than {_MAX_CHARACTERS} characters")
    if scheme == "s3":
        return _s3(rest, rules)
    if not _PLAIN.fullmatch(rest):
        _refuse("is an address with spaces, backslashes or letters outside ASCII, which have to be encoded")
    return _file(rest, rules) if scheme == "file" else read_web_address(text, rules)


def read_web_address(text: str, rules: FetchRules) -> WebAddress:
    """The same for one that must be https:// or http://, as the goal of a redirect must."""
    scheme, found, rest = text.partition("://")
    scheme = scheme.lower()
    if not found or scheme not in _PORTS or len(text) > _MAX_CHARACTERS or not _PLAIN.fullmatch(rest):
        _refuse("leads to something that is no web address")
    rest = rest.partition("#")[0]
    end = min((place for mark in "/?" if (place := rest.find(mark)) >= 0), default=len(rest))
    host, port = _place(rest[:end], _PORTS[scheme])
    encrypted = scheme == "https"
    if not rules.hosts:
        _refuse(f"is an {scheme}: reference, and no host is allowed here (COSMOS_MEDIA_HOSTS)")
    if not rules.allows_host(host, encrypted=encrypted):
        without = "" if encrypted else " without TLS"
        _refuse(f"leads to the host {host[:100]}, which is not allowed{without} (COSMOS_MEDIA_HOSTS)")
    if port not in rules.ports:
        _refuse(f"leads to port {port}, which is not allowed (COSMOS_MEDIA_PORTS)")
    number = as_address(host)
    if number is not None and not may_connect(number, allowed_networks(rules)):
        _refuse("leads to an address outside the public internet")
    target = rest[end:]
    return WebAddress(encrypted, host, port, target if target.startswith("/") else f"/{target}")


def allowed_networks(rules: FetchRules) -> tuple[Network, ...]:
    """Those outside the public internet that may be connected to."""
    return tuple(ip_network(text) for text in rules.networks)


def _place(authority: str, usual_port: int) -> tuple[str, int]:
    """Host and port, in lower case; an IP address in its one plain form."""
    if "@" in authority:
        _refuse("is an address with a name or a password in it")
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?", authority)
    plain = re.fullmatch(r"([^\[\]:@%]+)(?::([0-9]{1,5}))?", authority)
    found = bracketed or plain
    if found is None:
        _refuse("is an address without a proper host")
    host = found[1].lower()
    port = int(found[2]) if found[2] else usual_port
    number = as_address(host)
    if bracketed:
        if not isinstance(number, IPv6Address):
            _refuse("is an address without a proper host")
        return str(number), port
    if number is None and not _NAME.fullmatch(host):
        _refuse("is an address without a proper host: a name in ASCII without a dot at its end, or a plain IP address")
    return host, port


def is_bucket(name: str) -> bool:
    """Whether a bucket can have that name."""
    return _BUCKET.fullmatch(name) is not None and ".." not in name


def is_key(key: str) -> bool:
    """Whether an object can have that key."""
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:  # half a character
        return False
    return 0 < size_bytes <= _MAX_KEY_BYTES and key.isprintable()


def _s3(rest: str, rules: FetchRules) -> S3Address:
    bucket, _, key = rest.partition("/")
    if not is_bucket(bucket):
        _refuse("is an s3: reference without a proper bucket", allowed_form="s3://bucket/key")
    if not rules.allows_bucket(bucket):
        _refuse(f"leads to the bucket {bucket}, which is not allowed (COSMOS_MEDIA_BUCKETS)")
    if not is_key(key):
        _refuse("is an s3: reference without a proper key", allowed_form="s3://bucket/key")
    return S3Address(bucket, key)


def _file(rest: str, rules: FetchRules) -> FileAddress:
    if rules.folder is None:
        _refuse("is a file: reference, and no folder is allowed here (COSMOS_MEDIA_DIR)")
    host, slash, path = rest.partition("/")
    try:
        path = slash + unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        path = ""
    if host.lower() not in ("", "localhost") or not path.isprintable() or ".." in PurePosixPath(path).parts:
        _refuse("is a file: reference without a proper path", allowed_form="file:///folder/file")
    if not PurePosixPath(path).is_relative_to(rules.folder):
        _refuse("leads out of the folder that is allowed (COSMOS_MEDIA_DIR)")
    return FileAddress(path)


def _refuse(problem: str, *, allowed_form: str | None = None) -> NoReturn:
    raise Refusal("address", problem + (f" ({allowed_form})" if allowed_form else ""))
