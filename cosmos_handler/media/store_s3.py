"""Writing to S3; runs in the short-lived process only."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import BotoCoreError, ClientError

from cosmos_handler.media.s3_client import FORBIDDEN, code_of, encryption, s3_client, silence
from cosmos_handler.media.store_request import NotStored, StoreRequest

_MISSING = ("NoSuchBucket", "404")
_ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301")
_ATTEMPTS = 4


def try_out(request: StoreRequest) -> dict[str, Any]:
    """Begin to write the object and take that back, which needs the same rights. Raises NotStored."""
    client = _client(request)
    place = {"Bucket": request.bucket, "Key": request.key}
    with _told(request):
        begun = client.create_multipart_upload(**place, **_properties(request))
    with _told(request, "may write there, but not take back what is half written (s3:AbortMultipartUpload)"):
        client.abort_multipart_upload(**place, UploadId=begun["UploadId"])
    return {}


def store(request: StoreRequest) -> dict[str, Any]:
    """Write the file to the object: its size, its SHA-256, and the link that is asked for. Raises NotStored."""
    path = Path(str(request.path))
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    config = TransferConfig(
        multipart_threshold=request.rules.part_bytes,
        multipart_chunksize=request.rules.part_bytes,
        max_concurrency=request.rules.threads,
        preferred_transfer_client="classic",
    )
    properties = _properties(request)
    properties["Metadata"]["sha256"] = sha256
    client = _client(request)
    with _told(request), create_transfer_manager(client, config) as manager:
        manager.upload(str(path), request.bucket, request.key, extra_args=properties).result()
    answer: dict[str, Any] = {"size_bytes": path.stat().st_size, "sha256": sha256}
    if request.presign_seconds is not None:
        place = {"Bucket": request.bucket, "Key": request.key}
        with _told(request):
            answer["url"] = client.generate_presigned_url("get_object", place, request.presign_seconds)
    return answer


def _client(request: StoreRequest) -> Any:
    rules = request.rules
    with _told(request):
        return s3_client(rules.connect_seconds, attempts=_ATTEMPTS, proxy=rules.proxy, ca_bundle=rules.ca_bundle)


def _properties(request: StoreRequest) -> dict[str, Any]:
    """SHA256: S3 checks every part against it, and keeps it. The file's own goes into the metadata."""
    return {
        "ContentType": request.media_type,
        "ChecksumAlgorithm": "SHA256",
        "Metadata": {"cosmos-job-id": request.job_id},
        **encryption(request.rules.kms_key_id),
    }


@contextmanager
def _told(request: StoreRequest, forbidden: str = "may not write there") -> Iterator[None]:
    """What goes wrong as a NotStored, in words that hold nothing secret."""
    try:
        yield
    except ClientError as error:
        raise _problem(code_of(error), forbidden, with_key=request.rules.kms_key_id is not None) from None
    except (BotoCoreError, OSError) as error:
        raise NotStored("server", silence(error)) from None


def _problem(code: str, forbidden: str, *, with_key: bool) -> NotStored:
    if code in _MISSING:
        return NotStored("place", "S3 has no such bucket")
    if code in FORBIDDEN:
        key = ", or not use the key of COSMOS_OUTPUT_KMS_KEY_ID" if with_key else ""
        return NotStored("place", f"the role of this server {forbidden}{key}")
    if code in _ELSEWHERE:
        return NotStored("place", "the bucket lies in another region")
    if code.startswith("KMS"):
        return NotStored("server", f"S3 cannot use the key of COSMOS_OUTPUT_KMS_KEY_ID: {code[:40]}")
    return NotStored("server", f"S3 answers {code[:40]}")
