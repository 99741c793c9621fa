"""The libraries called as their own documentation calls them: what the server's answers are held against."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.container.media import Frames

PROMPT = "A robotic arm lifts a red cube."


def load_predict(folder: Path, *, device: str = "cpu") -> Any:
    """diffusers' pipeline in the dtype of the files."""
    import torch
    from diffusers import Cosmos2_5_PredictBasePipeline
    from diffusers.pipelines.cosmos.pipeline_cosmos2_5_predict import CosmosSafetyChecker

    class PassThrough(CosmosSafetyChecker):  # type: ignore[misc]
        """Of the class that the pipeline tests for, so that frames take the same way through uint8."""

        def __init__(self) -> None:
            pass

        def to(self, device: object) -> None:
            pass

        def check_text_safety(self, text: str) -> bool:
            return True

        def check_video_safety(self, frames: Frames) -> Frames:
            return frames

    loaded = Cosmos2_5_PredictBasePipeline.from_pretrained(folder, dtype=torch.bfloat16, safety_checker=PassThrough())
    loaded.set_progress_bar_config(disable=True)
    return loaded.to(device)


def call_predict(pipeline: Any, **arguments: Any) -> Frames:
    """A small video with seed 7: uint8 [T, 64, 96, 3]."""
    import torch

    options = {"prompt": PROMPT, "height": 64, "width": 96, "num_frames": 5, "num_inference_steps": 3}
    generator = torch.Generator("cpu").manual_seed(7)
    made = pipeline(**{**options, **arguments}, generator=generator, output_type="pil")
    return np.stack([np.asarray(frame) for frame in made.frames[0]])
