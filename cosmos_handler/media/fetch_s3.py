"""An object of S3, with the rights of the role that this server runs under; runs in the short-lived process only."""

from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from cosmos_handler.media.address import S3Address
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules
from cosmos_handler.media.s3_client import FORBIDDEN, code_of, s3_client, silence
from cosmos_handler.media.taking import take

# What S3 says; where the role may not list the bucket, it says 403 for what is not there as well.
_MISSING = ("NoSuchKey", "NoSuchBucket", "404")
_ARCHIVED = ("InvalidObjectState",)


def fetch_s3(place: S3Address, output: Path, rules: FetchRules, *, max_bytes: int) -> None:
    """Write the object to `output`. Raises Refusal."""
    try:
        client = s3_client(rules.connect_seconds, attempts=2, proxy=rules.proxy, ca_bundle=rules.ca_bundle)
        answer = client.get_object(Bucket=place.bucket, Key=place.key)
        with answer["Body"] as stream:
            take(stream, output, promised_bytes=answer["ContentLength"], max_bytes=max_bytes)
    except ClientError as error:
        raise Refusal("media", _problem(code_of(error))) from None
    except (BotoCoreError, OSError) as error:
        raise Refusal("media", f"cannot be fetched: {silence(error)}") from None


def _problem(code: str) -> str:
    if code in _MISSING:
        return "cannot be fetched: S3 has no such object"
    if code in FORBIDDEN:
        return "cannot be fetched: the role of this server may not read that object"
    if code in _ARCHIVED:
        return "cannot be fetched: the object is archived"
    return f"cannot be fetched: S3 answers {code[:40]}"
