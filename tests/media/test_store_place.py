"""Where results go: prefixes and keys, the allowed buckets, and nothing that somebody else could read differently."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.media.address import S3Address
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.store_place import object_for
from cosmos_handler.media.store_rules import StoreRules

OPEN = StoreRules(buckets=("*",))
JOB = "job-20260101T000000-0123456789ab"


def place(uri: str | None, rules: StoreRules = OPEN, suffix: str = ".mp4") -> S3Address | None:
    return object_for(uri, rules, job_id=JOB, suffix=suffix)


def refused(uri: str, rules: StoreRules = OPEN, suffix: str = ".mp4") -> str:
    with pytest.raises(Refusal) as caught:
        place(uri, rules, suffix)
    assert caught.value.reason == "address"
    return caught.value.problem


def test_prefixes_get_the_id_and_keys_stay() -> None:
    assert place("s3://results/") == S3Address("results", f"{JOB}.mp4")
    assert place("S3://results/a b/c/", suffix=".png") == S3Address("results", f"a b/c/{JOB}.png")
    assert place("s3://results/a/É.MP4") == S3Address("results", "a/É.MP4")
    assert place("s3://results/a.npz", suffix=".npz") == S3Address("results", "a.npz")


def test_the_deployers_prefix_is_for_those_who_name_none() -> None:
    rules = StoreRules(default_uri="s3://mine/out/", buckets=())
    assert place(None) is None
    assert place(None, rules) == S3Address("mine", f"out/{JOB}.mp4")
    assert "COSMOS_OUTPUT_BUCKETS" in refused("s3://mine/out/", rules)
    rules = StoreRules(default_uri="s3://mine/out/", buckets=("theirs",))
    assert place("s3://theirs/", rules) == S3Address("theirs", f"{JOB}.mp4")
    assert "the bucket mine" in refused("s3://mine/", rules)


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("", "no address of S3"),
        ("results/a.mp4", "no address of S3"),
        ("s3://results", "no address of S3"),
        ("s3:///a.mp4", "no address of S3"),
        ("s3://Results/a.mp4", "no address of S3"),
        ("s3://a..b/a.mp4", "no address of S3"),
        ("https://results/a.mp4", "no address of S3"),
        ("s3://results/a\n.mp4", "no proper key"),
        ("s3://results/\ud800.mp4", "no proper key"),
        ("s3://results/" + "é" * 511 + ".mp4", "no proper key"),
        ("s3://results/" + "a" * 1000 + "/", "too long"),
        ("s3://results/../other/a.mp4", "empty step"),
        ("s3://results/a/./b.mp4", "empty step"),
        ("s3://results//a.mp4", "empty step"),
        ("s3://results/a//", "empty step"),
        ("s3://results/a/..", "empty step"),
        ("s3://results/a.png", "does not end in .mp4"),
        ("s3://results/mp4", "does not end in .mp4"),
    ],
)
def test_what_is_no_place(uri: str, problem: str) -> None:
    assert problem in refused(uri)


@given(
    st.one_of(
        st.text(max_size=80).map("s3://results/".__add__),
        st.text(max_size=40),
        st.builds("s3://{}/{}".format, st.text("ab.-/", max_size=6), st.text("ab/.é\n ", max_size=12)),
    ),
    st.sampled_from((".mp4", ".png", ".npz")),
)
def test_whatever_is_written_becomes_one_proper_object_or_a_refusal(uri: str, suffix: str) -> None:
    try:
        found = place(uri, StoreRules(buckets=("results", "aba")), suffix)
    except Refusal:
        return
    assert found is not None
    assert found.bucket in ("results", "aba")
    assert found.uri.lower().endswith(suffix)
    assert found.key.isprintable()
    assert len(found.key.encode()) <= 1024
    assert not re.search(r"(^|/)(\.{0,2})(/|$)", found.key)
    written = uri.partition("://")[2].partition("/")[2]
    assert found.key == (written if written and not written.endswith("/") else f"{written}{JOB}{suffix}")
