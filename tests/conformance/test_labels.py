"""The image: how it starts serve, and what its labels promise."""

import json
import re

import pytest

from tests.conformance.conftest import skip_elsewhere
from tests.conformance.sections import section
from tests.conftest import ROOT
from tests.scripts.test_build_image import INSTRUCTIONS, SAGEMAKER, pairs


@pytest.fixture(autouse=True)
def own_image(pytestconfig: pytest.Config) -> None:
    skip_elsewhere(pytestconfig)


@section("1.1")
def test_both_ways_to_run_the_image_start_serve() -> None:
    commands = [json.loads(rest) for word, rest in INSTRUCTIONS if word == "CMD"]  # fails for the shell form
    assert commands == [["serve"]]
    # `docker run IMAGE serve` puts its word in place of CMD, and behind an entry point if there is one.
    assert [json.loads(rest) for word, rest in INSTRUCTIONS if word == "ENTRYPOINT"] == [[]]
    path = pairs("ENV")["PATH"].split(":")
    assert path.index("/opt/cosmos") < path.index("/usr/bin")
    assert path.index("/opt/venv/bin") < path.index("/usr/bin")
    assert ("EXPOSE", "8080") in INSTRUCTIONS


@section("1.1")
def test_it_runs_as_root_and_brings_neither_an_init_nor_drivers() -> None:
    assert [word for word, _ in INSTRUCTIONS if word == "USER"] == []
    text = " ".join(rest for _, rest in INSTRUCTIONS)
    assert not re.search(r"\btini\b|dumb-init|nvidia-driver|libcuda1", text)


@section("1.3")
def test_the_labels_that_sagemaker_reads() -> None:
    labels = pairs("LABEL")
    assert labels[f"{SAGEMAKER}capabilities.accept-bind-to-port"] == "true"
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    cuda = re.search(r"^nvidia-cuda-runtime-cu12==(\d+\.\d+)", lock, re.MULTILINE)
    assert cuda is not None
    assert labels[f"{SAGEMAKER}inference.cuda.verified_versions"] == cuda[1]


@section("1.3")
def test_no_label_promises_what_is_refused() -> None:
    assert not {f"{SAGEMAKER}capabilities.{what}" for what in ("multi-models", "bidirectional-streaming")} & set(
        pairs("LABEL")
    )
