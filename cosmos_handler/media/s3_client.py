"""S3 as the short-lived processes speak to it, with the rights of the role that this server runs under."""

from typing import Any

import boto3
from botocore.config import Config


def s3_client(connect_seconds: float, *, attempts: int, proxy: str | None, ca_bundle: str | None) -> Any:
    """A client for the region and the role of the environment. connect_seconds: holds for every pause as well."""
    config = Config(
        connect_timeout=connect_seconds,
        read_timeout=connect_seconds,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        proxies={"http": proxy, "https": proxy} if proxy else None,
        signature_version="s3v4",  # links are signed the old way in some regions, which no KMS key allows
    )
    return boto3.client("s3", config=config, verify=ca_bundle)
