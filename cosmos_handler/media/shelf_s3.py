"""Small objects under one prefix of S3, replaced only as they were read; runs in the helper process only."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from cosmos_handler.media.s3_client import FORBIDDEN, code_of, encryption, s3_client, silence
from cosmos_handler.media.store_rules import StoreRules

_ATTEMPTS = 2
_MISSING = ("NoSuchKey", "404")
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NO_BUCKET = "NoSuchBucket"


class ShelfOfS3:
    """One prefix. Every method but `do` answers with what its request asks for, and raises what boto3 raises."""

    def __init__(self, bucket: str, prefix: str, rules: StoreRules) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._rules = rules
        self._client: Any = None

    def do(self, what: str, **how: Any) -> dict[str, Any]:
        """One request. A `fault` in the answer: missing, changed, place (the deployer's to mend) or server."""
        methods: dict[str, Callable[..., dict[str, Any]]] = {
            "get": self.get,
            "put": self.put,
            "drop": self.drop,
            "names": self.names,
            "fetch": self.fetch,
            "try": self.try_out,
        }
        try:
            # Made late, and by whichever thread is first: without credentials or a region there is none.
            if self._client is None:
                rules = self._rules
                self._client = s3_client(
                    rules.connect_seconds, attempts=_ATTEMPTS, proxy=rules.proxy, ca_bundle=rules.ca_bundle
                )
            return methods[what](**how)
        except ClientError as error:
            return _fault(code_of(error))
        except (BotoCoreError, OSError) as error:
            return {"fault": "server", "problem": silence(error)}

    def get(self, name: str) -> dict[str, Any]:
        """The object, and how long ago it was written by S3's own clock: no two instances need agree on the time."""
        answer = self._client.get_object(**self._place(name))
        with answer["Body"] as stream:
            text = stream.read().decode()
        return {"text": text, "etag": answer["ETag"], "age_seconds": _age_seconds(answer, answer["LastModified"])}

    def put(self, name: str, text: str, etag: str | None) -> dict[str, Any]:
        """Write it where it is still what the ETag says; None: where it is not there yet."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        encrypted = encryption(self._rules.kms_key_id)
        try:
            answer = self._client.put_object(
                **self._place(name), Body=text.encode(), ContentType="application/json", **condition, **encrypted
            )
        except ClientError as error:
            # Deleted since it was read, which is a change as well.
            if etag is not None and code_of(error) in _MISSING:
                return {"fault": "changed"}
            raise
        return {"etag": answer["ETag"]}

    def drop(self, names: list[str]) -> dict[str, Any]:
        """Delete them; one that is not there is no fault."""
        for name in names:
            self._client.delete_object(**self._place(name))
        return {}

    def names(self, under: str) -> dict[str, Any]:
        """Every name that begins so, in order, and how long ago each was written."""
        listed = []
        for page in self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + under
        ):
            for each in page.get("Contents", ()):
                listed.append([each["Key"][len(self._prefix) :], _age_seconds(page, each["LastModified"])])
        return {"listed": listed}

    def fetch(self, bucket: str, key: str, path: str) -> dict[str, Any]:
        """Write an object, which may lie elsewhere, to a file."""
        config = TransferConfig(max_concurrency=2, preferred_transfer_client="classic")
        self._client.download_file(bucket, key, path, Config=config)
        return {"size_bytes": Path(path).stat().st_size}

    def try_out(self, name: str) -> dict[str, Any]:
        """Write, read, list and delete; and find out whether S3 keeps to conditions, without which two could win."""
        written = self.put(name, "{}", None)
        try:
            if self._is_put_all_the_same(name, "{}", None):
                return {"fault": "place", "problem": "what answers for S3 there does not keep to If-None-Match"}
            self.put(name, "{} ", self.get(name)["etag"])
            if self._is_put_all_the_same(name, "{}  ", written["etag"]):
                return {"fault": "place", "problem": "what answers for S3 there does not keep to If-Match"}
            self.names(name)
        finally:
            self.drop([name])
        return {}

    def _is_put_all_the_same(self, name: str, text: str, etag: str | None) -> bool:
        """Whether a writing is taken that has to be refused."""
        try:
            self.put(name, text, etag)
        except ClientError as error:
            if code_of(error) not in _CHANGED:
                raise
            return False
        return True

    def _place(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}


def _fault(code: str) -> dict[str, Any]:
    if code in _MISSING:
        return {"fault": "missing"}
    if code in _CHANGED:
        return {"fault": "changed"}
    if code == _NO_BUCKET:
        return {"fault": "place", "problem": "S3 has no such bucket"}
    if code in FORBIDDEN:
        return {"fault": "place", "problem": "the role of this server may not do that there"}
    return {"fault": "server", "problem": f"S3 answers {code[:40]}"}


def _age_seconds(answer: Any, written_at: datetime) -> float:
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return max(0.0, (now - written_at).total_seconds())
