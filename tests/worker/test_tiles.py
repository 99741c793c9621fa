"""Decoding in tiles: a last resort, taken where nothing exact fits, and said in the answer."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.wire import Done, Run

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def folder(tiny_models: Path) -> Path:
    return tiny_models / "predict2.5"


def test_where_nothing_exact_fits_it_decodes_in_tiles_and_says_so(session: Any, said: list[Any]) -> None:
    loaded = session._loaded
    wide = {"num_steps": 1, "num_frames": 5, "num_output_frames": 5, "height": 320, "width": 320, "encoding": "npz"}
    task = usual_task(loaded.checkpoints["predict2.5"]).model_copy(update={"prompt": "A cube.", **wide})
    roomy = loaded.house.machine.model_copy(update={"device_bytes": 2**40, "host_bytes": 2**40})
    house = replace(loaded.house, machine=roomy)
    parts, stages = house.sheets(task, "predict2.5")
    (decode,) = (stage for stage in stages if stage.name == "decode")
    (vae,) = (part for part in parts if part.name == "tokenizer")
    tight = roomy.model_copy(update={"device_bytes": decode.working_bytes + vae.size_bytes - 1})

    made, decoded = [], []
    for machine in (roomy, tight):
        loaded.house = replace(house, machine=machine)
        with tempfile.TemporaryDirectory() as place:
            job = Run(job_id="job", model="predict2.5", task=task, folder=place)
            session.run(job, is_cancelled=lambda: False)
            done = said[-1]
            assert isinstance(done, Done), done
            made.append(np.load(Path(place, "frames.npz"))["frames"])
            decoded.append(done.report.decode)
            assert done.report.predicted_peak_bytes <= machine.device_bytes
    assert decoded == ["exact", "tiled"]
    assert made[0].shape == made[1].shape
    assert not np.array_equal(*made)  # other pixels, which is why it is the last resort
