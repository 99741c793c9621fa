"""Where a result goes: what clients and deployers write, taken apart and held against the rules; nothing is asked."""

from typing import NoReturn

from cosmos_handler.media.address import S3Address, is_bucket, is_key
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.store_rules import StoreRules

FORMS = "s3://bucket/prefix/ or s3://bucket/key with the ending of what is made"


def object_for(uri: str | None, rules: StoreRules, *, job_id: str, suffix: str) -> S3Address | None:
    """The object that a job's result becomes: at the key as it stands, or under a prefix by the job's id.

    uri: what the request names; None: it is the deployer's prefix, and None comes back where there is none.
    suffix: of what is made, such as ".mp4".
    Raises Refusal.
    """
    if uri is not None:
        place = _read(uri)
        if not rules.allows_bucket(place.bucket):
            _refuse(f"leads to the bucket {place.bucket}, which is not allowed (COSMOS_OUTPUT_BUCKETS)")
    elif rules.default_uri is not None:
        place = _read(rules.default_uri)
    else:
        return None
    if place.key and not place.key.endswith("/"):
        if not place.key.lower().endswith(suffix):
            _refuse(f"is a key that does not end in {suffix}, which is what is made")
        return place
    key = f"{place.key}{job_id}{suffix}"
    if not is_key(key):
        _refuse("is a prefix that is too long")
    return S3Address(place.bucket, key)


def _read(uri: str) -> S3Address:
    """Bucket and key; a prefix has a key that ends in a slash, or none."""
    scheme, _, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    if scheme.lower() != "s3" or not slash or not is_bucket(bucket):
        _refuse("is no address of S3")
    if key and not is_key(key):
        _refuse("has no proper key: at most 1024 bytes, without control characters")
    *steps, _ = key.split("/")
    if "" in steps or {".", ".."} & set(key.split("/")):  # clients and proxies rewrite such paths
        _refuse("has an empty step, . or .. in its key")
    return S3Address(bucket, key)


def _refuse(problem: str) -> NoReturn:
    raise Refusal("address", problem)
