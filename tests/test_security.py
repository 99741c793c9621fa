"""SECURITY.md has every setting that bounds something, with its default."""

import re

from cosmos_handler.settings import VARIABLES
from tests.conftest import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
# What they say bounds nothing: where models lie, and on what they run.
ELSEWHERE = {
    "COSMOS_MODEL_DIR", "HF_MODEL_ID", "COSMOS_CHECKPOINT", "COSMOS_TEXT_ENCODER_DIR", "COSMOS_VAE_PATH",
    "COSMOS_DEVICES", "SM_NUM_GPUS", "COSMOS_CPU_THREADS", "COSMOS_LOG_LEVEL", "COSMOS_OFFLOAD", "COSMOS_PLACEMENT",
    "COSMOS_WARM_UP",
}  # fmt: skip


def test_every_limit_stands_there_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .+ \|$", TEXT, re.MULTILINE))
    expected = {
        variable.name: "not set" if variable.default is None else variable.default
        for variable in VARIABLES
        if variable.name not in ELSEWHERE
    }
    assert rows == expected


def test_it_names_no_setting_that_is_none() -> None:
    known = {variable.name for variable in VARIABLES} | {"COSMOS_"}
    assert set(re.findall(r"COSMOS_\w*", TEXT)) <= known
