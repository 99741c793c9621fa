"""What may be fetched for a client, from where, and what that may cost."""

from dataclasses import dataclass

_ANY = "*"
_PLAIN = "http://"


@dataclass(frozen=True)
class FetchRules:
    """Bounds on references that are addresses. By itself it allows none.

    hosts: names, "*.name" for all below one, "*" for every public one; "http://name" allows that one without TLS.
    ports: of web addresses. networks: those outside the public internet that may be connected to, as "10.1.0.0/16".
    buckets: of S3, "*" for every one that the role may read. folder: what file:// may read from; None is nothing.
    max_redirects, connect_seconds: of one fetch; the second holds for the name, the connection and every pause.
    fetch_seconds: from the start of the fetching process to its end. memory_bytes: its address space.
    proxy: "http://host:port" that all goes through, which then resolves the names. ca_bundle: certificates to trust.
    """

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    networks: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    folder: str | None = None
    max_redirects: int = 3
    connect_seconds: float = 5
    fetch_seconds: float = 30
    memory_bytes: int = 2 * 2**30
    proxy: str | None = None
    ca_bundle: str | None = None

    def allows_host(self, host: str, *, encrypted: bool) -> bool:
        """Whether a host is on the list; one without TLS must be there by its full name."""
        if not encrypted:
            return _PLAIN + host in self.hosts
        return any(_matches(host, pattern.removeprefix(_PLAIN)) for pattern in self.hosts)

    def allows_bucket(self, bucket: str) -> bool:
        """Whether a bucket is on the list."""
        return _ANY in self.buckets or bucket in self.buckets


def _matches(host: str, pattern: str) -> bool:
    return pattern == _ANY or host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))
