"""An S3 that takes the connection and never says a word: as in a network that drops what leaves it."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosmos_handler.errors import MediaError, StoreFailed
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.fetching import Fetching
from cosmos_handler.media.rules import FetchRules
from cosmos_handler.media.store_rules import StoreRules
from cosmos_handler.media.storing import Order, Storing

# Of the whole errand, which would hide what the bound on one wait is for.
LONG_SECONDS = 600


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def test_what_is_fetched_from_it_is_given_up_after_the_time_to_connect(
    environment: dict[str, str], tmp_path: Path
) -> None:
    fetching = Fetching(FetchRules(buckets=("*",), connect_seconds=0.5, fetch_seconds=LONG_SECONDS), environment)
    with pytest.raises(MediaError, match="cannot be fetched: S3 cannot be reached from here") as caught:
        asyncio.run(fetching.fetch("s3://bucket/a.png", tmp_path / "out", field="image", max_bytes=1000))
    assert caught.value.field == "image"


def test_a_place_for_results_is_given_up_before_any_work(environment: dict[str, str]) -> None:
    storing = Storing(StoreRules(connect_seconds=0.5, store_seconds=LONG_SECONDS), environment)
    order = Order(S3Address("results", "a.mp4"), "video/mp4", "job-1", field="output_s3_uri")
    with pytest.raises(StoreFailed, match="the result cannot be stored: S3 cannot be reached from here"):
        asyncio.run(storing.try_out(order))


def test_credentials_that_are_not_answered_for(environment: dict[str, str], tmp_path: Path) -> None:
    """The role's credentials are asked of an address; where nobody answers there, that is said, and in bounded time."""
    asked = {name: value for name, value in environment.items() if "KEY" not in name}
    asked |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{environment['AWS_ENDPOINT_URL']}/role", "HOME": str(tmp_path)}
    fetching = Fetching(FetchRules(buckets=("*",), connect_seconds=0.5, fetch_seconds=LONG_SECONDS), asked)
    with pytest.raises(MediaError, match=r"cannot be fetched: (S3 cannot be reached|this server has no credentials)"):
        asyncio.run(fetching.fetch("s3://bucket/a.png", tmp_path / "out", field="image", max_bytes=1000))
