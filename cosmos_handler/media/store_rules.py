"""Where results may be stored, and what that may cost."""

from dataclasses import dataclass

_ANY = "*"


@dataclass(frozen=True)
class StoreRules:
    """By itself it allows no place.

    default_uri: the prefix of results for which the request names no place; None: those are not stored.
    buckets: which requests may name; "*" for every one that the role may write to. kms_key_id: encrypts all results.
    store_seconds: most time for one result. part_bytes: larger files go in parts of that size, as many at a
    time as there are threads.
    connect_seconds, proxy, ca_bundle, memory_bytes: as in FetchRules.
    """

    default_uri: str | None = None
    buckets: tuple[str, ...] = ()
    kms_key_id: str | None = None
    store_seconds: float = 600
    part_bytes: int = 16 * 2**20
    threads: int = 4
    connect_seconds: float = 5
    memory_bytes: int = 2 * 2**30
    proxy: str | None = None
    ca_bundle: str | None = None

    def allows_bucket(self, bucket: str) -> bool:
        """Whether a request may name a bucket."""
        return _ANY in self.buckets or bucket in self.buckets
