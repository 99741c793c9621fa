"""Loading maps the files: no second copy of the weights is ever held."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.model

SIZE_MIB = 128

WRITE = f"""
    import sys, torch
    from diffusers import CosmosTransformer3DModel
    from scripts.tiny.predict2_5 import NETWORK
    wide = {{**NETWORK, "num_attention_heads": 8, "attention_head_dim": 128, "adaln_lora_dim": 64}}
    model = CosmosTransformer3DModel(in_channels=17, num_layers=5, **wide).to(torch.bfloat16)
    size = sum(tensor.numel() * 2 for tensor in model.parameters())
    assert size > {SIZE_MIB} * 2**20, size
    model.save_pretrained(sys.argv[1] + "/transformer")
"""
LOAD = """
    import re, sys
    from pathlib import Path
    from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
    from cosmos_handler.memory.components import PartClass, load_part
    import diffusers.models.transformers.transformer_cosmos

    def anonymous_kib():
        return int(re.search(r"Anonymous:\\s+(\\d+)", Path("/proc/self/smaps_rollup").read_text())[1])

    part = Part("transformer", "transformer", (), 0, "bfloat16")
    checkpoint = Checkpoint("m", (), sys.argv[1], "predict2.5", (), "x", (part,), None, None)
    before = anonymous_kib()
    module = load_part(checkpoint, part, PartClass("diffusers", "CosmosTransformer3DModel"))
    print("took", anonymous_kib() - before)
"""


def run(script: str, folder: Path) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_part_takes_no_memory_before_it_is_read(tmp_path: Path) -> None:
    run(WRITE, tmp_path)
    took = re.search(r"took (-?\d+)", run(LOAD, tmp_path))
    assert took is not None
    assert int(took[1]) < SIZE_MIB * 1024 / 4
