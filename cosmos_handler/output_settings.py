"""The settings of where results may be stored."""

import re
from dataclasses import dataclass

from cosmos_handler.variable import Variable, buckets, whole

_PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(?:[!-.0-~]+/)*")
_KEY = re.compile(r"[\w:/.-]{1,2048}", re.ASCII)


@dataclass(frozen=True)
class OutputSettings:
    """Their rows in OUTPUT_VARIABLES say what they are."""

    default_uri: str | None
    output_buckets: tuple[str, ...]
    kms_key_id: str | None
    store_seconds: int
    jobs_uri: str | None
    jobs_lost_seconds: int


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise ValueError("a prefix such as s3://bucket/results/")
    return value


def _kms_key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("the id, the alias or the ARN of a key")
    return value


OUTPUT_VARIABLES = (
    Variable(
        "COSMOS_OUTPUT_S3_URI",
        "default_uri",
        _prefix,
        None,
        "prefix under which every image and video is stored that names no output_s3_uri; by default none is",
    ),
    Variable(
        "COSMOS_OUTPUT_BUCKETS",
        "output_buckets",
        buckets,
        "*",
        "buckets that output_s3_uri may name; * for every one that the role may write to, none for no output_s3_uri",
    ),
    Variable(
        "COSMOS_OUTPUT_KMS_KEY_ID",
        "kms_key_id",
        _kms_key,
        None,
        "key of AWS KMS that all stored results are encrypted with; by default the bucket's own encryption",
    ),
    Variable(
        "COSMOS_JOBS_S3_URI",
        "jobs_uri",
        _prefix,
        None,
        "prefix where the jobs of /v1/videos and their results are kept, so that every instance that has the same "
        "knows them; by default they are this server's own",
    ),
    Variable(
        "COSMOS_JOBS_LOST_SECONDS",
        "jobs_lost_seconds",
        whole(4, 3600),
        "60",
        "such a job fails when nothing was heard of its instance for so long",
    ),
    Variable("COSMOS_OUTPUT_SECONDS", "store_seconds", whole(5, 3600), "600", "most time to store one result"),
)
