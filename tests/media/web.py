"""Servers on loopback that answer what a test tells them to, with and without TLS, and count who came."""

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Answer:
    """What a path is answered with. pieces: bytes, each sent on its own; a number is a pause in seconds."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: tuple[bytes | float, ...] = ()


@dataclass
class Web:
    """A running server. seen: the paths that were asked for, with the Host header."""

    port: int
    answers: dict[str, Answer]
    seen: list[tuple[str, str]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller who hangs up is what several tests are about."""


@contextmanager
def serving(host: str = "127.0.0.1", *, certificate: Path | None = None) -> Iterator[Web]:
    """A server at an address of this machine. certificate: with its key; None is without TLS."""
    answers: dict[str, Answer] = {}
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Host", "")))
            answer = answers.get(self.path.partition("?")[0], Answer(404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in answer.pieces:
                if isinstance(piece, bytes):
                    self.wfile.write(piece)
                    self.wfile.flush()
                else:
                    stopped.wait(piece)

        def log_message(self, *_: object) -> None:
            pass

    stopped = threading.Event()
    server_class = type("_Server6", (_Server,), {"address_family": socket.AF_INET6}) if ":" in host else _Server
    server = server_class((host, 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Web(server.server_address[1], answers, seen)
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()


def make_certificate(path: Path, *names: str) -> Path:
    """A certificate that signs itself, with its key, for names and IP addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    kinds: list[x509.GeneralName] = []
    for name in names:
        numeric = name.replace(".", "").isdecimal() or ":" in name
        kinds.append(x509.IPAddress(ip_address(name)) if numeric else x509.DNSName(name))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


Resolver = Callable[[str, int], list[str]]


def changing(*answers: list[str]) -> Resolver:
    """A name server that changes its mind: each question gets the next answer, the last one stays."""
    left = list(answers)
    return lambda host, port: left.pop(0) if len(left) > 1 else left[0]
