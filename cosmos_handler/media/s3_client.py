"""S3 as the short-lived processes speak to it, with the rights of the role that this server runs under."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

# What S3 says of what the role may not do.
FORBIDDEN = ("AccessDenied", "403", "AllAccessDisabled")


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


def code_of(error: ClientError) -> str:
    """What S3 calls that which it says against a request."""
    return str(error.response.get("Error", {}).get("Code", ""))


def encryption(kms_key_id: str | None) -> dict[str, str]:
    """How an object is to be encrypted; nothing where that is left to the bucket."""
    return {} if kms_key_id is None else {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}


def silence(error: BotoCoreError | OSError) -> str:
    """Why S3 was not heard at all, in words that hold nothing secret."""
    if isinstance(error, NoCredentialsError):
        return "this server has no credentials for S3"
    if isinstance(error, NoRegionError):
        return "this server does not know its AWS region (AWS_REGION)"
    return "S3 cannot be reached from here"
