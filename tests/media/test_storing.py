"""Storing through the real process, in S3 by its real protocol."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from cosmos_handler.errors import InvalidField, StoreFailed
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.store_rules import StoreRules
from cosmos_handler.media.storing import Order, Storing
from tests.conftest import free_port
from tests.s3 import S3, refusing_s3, running_s3

ORDER = Order(S3Address("results", "out/a b.mp4"), "video/mp4", "job-1", field="output_s3_uri")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3"), "results") as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(range(256)) * 40_000)
    return path


def test_a_file_with_its_type_its_checksums_and_its_job(s3: S3, file: Path) -> None:
    storing = Storing(StoreRules(), s3.environment)
    asyncio.run(storing.try_out(ORDER))
    assert s3.begun("results") == []
    stored = asyncio.run(storing.store(ORDER, file))
    data, sha256 = file.read_bytes(), hashlib.sha256(file.read_bytes()).hexdigest()
    assert (stored.s3_uri, stored.size_bytes, stored.sha256) == ("s3://results/out/a b.mp4", len(data), sha256)
    assert stored.url is None
    found = s3.object(stored.s3_uri)
    assert found["Body"].read() == data
    assert found["ContentType"] == "video/mp4"
    assert found["Metadata"] == {"cosmos-job-id": "job-1", "sha256": sha256}
    head = s3.client().head_object(Bucket="results", Key="out/a b.mp4", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"]


def test_a_large_file_goes_in_parts(s3: S3, file: Path) -> None:
    storing = Storing(StoreRules(part_bytes=5 * 2**20), s3.environment)
    stored = asyncio.run(storing.store(ORDER, file))
    found = s3.object(stored.s3_uri)
    assert found["Body"].read() == file.read_bytes()
    assert found["ETag"].strip('"').endswith("-2")
    assert s3.begun("results") == []


def test_the_key_that_results_are_encrypted_with(s3: S3, file: Path) -> None:
    key = s3.client("kms").create_key()["KeyMetadata"]["Arn"]
    for part_bytes in (5 * 2**20, 2**30):
        storing = Storing(StoreRules(kms_key_id=key, part_bytes=part_bytes), s3.environment)
        asyncio.run(storing.try_out(ORDER))
        found = s3.object(asyncio.run(storing.store(ORDER, file)).s3_uri)
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)


def test_a_link(s3: S3, file: Path) -> None:
    storing = Storing(StoreRules(), s3.environment)
    stored = asyncio.run(storing.store(replace(ORDER, presign_seconds=77), file))
    assert stored.url is not None
    assert "X-Amz-Expires=77&" in stored.url
    assert stored.url_expires_seconds == 77
    assert stored.url not in repr(stored)
    assert httpx2.get(stored.url, trust_env=False).content == file.read_bytes()


def test_a_bucket_that_is_none(s3: S3, file: Path) -> None:
    storing = Storing(StoreRules(), s3.environment)
    nowhere = replace(ORDER, address=S3Address("no-such-bucket", "a.mp4"))
    with pytest.raises(InvalidField, match="no such bucket") as caught:
        asyncio.run(storing.try_out(nowhere))
    assert caught.value.field == "output_s3_uri"
    with pytest.raises(StoreFailed, match=r"under COSMOS_OUTPUT_S3_URI: S3 has no such bucket"):
        asyncio.run(storing.try_out(replace(nowhere, field=None)))
    with pytest.raises(StoreFailed, match="no such bucket"):
        asyncio.run(storing.store(nowhere, file))


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        ("AccessDenied", InvalidField, "may not write there, or not use the key of COSMOS_OUTPUT_KMS_KEY_ID"),
        ("PermanentRedirect", InvalidField, "another region"),
        ("KMS.DisabledException", StoreFailed, r"COSMOS_OUTPUT_KMS_KEY_ID: KMS.DisabledException"),
        ("Nonsense", StoreFailed, "S3 answers Nonsense"),
    ],
)
def test_what_s3_says_against_it(code: str, error: type[Exception], told: str) -> None:
    with refusing_s3(code, "POST") as environment:
        storing = Storing(StoreRules(kms_key_id="alias/results"), environment)
        with pytest.raises(error, match=told) as caught:
            asyncio.run(storing.try_out(ORDER))
    assert "secret" not in str(caught.value)


def test_a_role_that_could_leave_half_written_results_behind() -> None:
    with (
        refusing_s3("AccessDenied", "DELETE") as environment,
        pytest.raises(InvalidField, match="s3:AbortMultipartUpload"),
    ):
        asyncio.run(Storing(StoreRules(), environment).try_out(ORDER))


def test_without_credentials_or_a_way_to_s3(s3: S3) -> None:
    endpoint = {
        "AWS_ENDPOINT_URL": s3.environment["AWS_ENDPOINT_URL"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.raises(StoreFailed, match="no credentials"):
        asyncio.run(Storing(StoreRules(), endpoint).try_out(ORDER))
    closed = {**s3.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(StoreFailed, match="cannot be reached"):
        asyncio.run(Storing(StoreRules(), closed).try_out(ORDER))
