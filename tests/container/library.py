"""The libraries called as their own documentation calls them: what the server's answers are held against."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_handler.artifacts import negative_prompts
from tests.conftest import CPU_THREADS
from tests.container.media import Frames, frames_of_mp4

PROMPT = "A robotic arm lifts a red cube."


def pass_through() -> Any:
    """A checker that passes everything, of the class that pipelines test for: frames go the same way through uint8."""
    from diffusers.pipelines.cosmos.pipeline_cosmos2_5_predict import CosmosSafetyChecker

    class PassThrough(CosmosSafetyChecker):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def to(self, device: object) -> None:
            pass

        def check_text_safety(self, text: str) -> bool:
            return True

        def check_video_safety(self, frames: Frames) -> Frames:
            return frames

    return PassThrough()


def load_predict(folder: Path, *, device: str = "cpu") -> Any:
    """diffusers' pipeline in the dtype of the files."""
    import torch
    from diffusers import Cosmos2_5_PredictBasePipeline

    loaded = Cosmos2_5_PredictBasePipeline.from_pretrained(folder, dtype=torch.bfloat16, safety_checker=pass_through())
    loaded.set_progress_bar_config(disable=True)
    return loaded.to(device)


def call_predict(pipeline: Any, **arguments: Any) -> Frames:
    """A small video with seed 7: uint8 [T, 64, 96, 3]."""
    import torch

    options = {"prompt": PROMPT, "height": 64, "width": 96, "num_frames": 5, "num_inference_steps": 3}
    generator = torch.Generator("cpu").manual_seed(7)
    made = pipeline(**{**options, **arguments}, generator=generator, output_type="pil")
    return np.stack([np.asarray(frame) for frame in made.frames[0]])


def load_transfer(folder: Path, branch: str, *, device: str = "cpu") -> Any:
    """diffusers' pipeline with one control branch, in the dtype of the files."""
    import torch
    from diffusers import Cosmos2_5_TransferPipeline, CosmosControlNetModel

    branch_folder = folder / "controlnet" / branch
    loaded = Cosmos2_5_TransferPipeline.from_pretrained(
        folder,
        controlnet=CosmosControlNetModel.from_pretrained(branch_folder, dtype=torch.bfloat16),
        dtype=torch.bfloat16,
        safety_checker=pass_through(),
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded.to(device)


def call_transfer(pipeline: Any, controls: Frames, **arguments: Any) -> Frames:
    """A small video with seed 7 after control maps: uint8 [T, 64, 96, 3]."""
    import torch
    from PIL import Image

    options = {"prompt": PROMPT, "height": 64, "width": 96, "num_inference_steps": 2, "num_frames_per_chunk": 9}
    made = pipeline(
        [Image.fromarray(frame) for frame in controls],
        **{**options, "negative_prompt": negative_prompts.TRANSFER, **arguments},
        generator=torch.Generator("cpu").manual_seed(7),
        output_type="pil",
    )
    return np.stack([np.asarray(frame) for frame in made.frames[0]])


def load_omni(folder: Path, *, device: str = "cpu") -> Any:
    """diffusers' pipeline for Cosmos 3, without a checker."""
    import torch
    from diffusers import Cosmos3OmniPipeline

    loaded = Cosmos3OmniPipeline.from_pretrained(folder, dtype=torch.bfloat16, enable_safety_checker=False)
    loaded.set_progress_bar_config(disable=True)
    return loaded.to(device)


def call_omni(pipeline: Any, *, shift: float = 10.0, **arguments: Any) -> Frames:
    """A small video with seed 7, its prompts taken as they are: uint8 [T, 64, 96, 3]."""
    import torch
    from diffusers import UniPCMultistepScheduler

    pipeline.scheduler = UniPCMultistepScheduler.from_config(
        pipeline.scheduler.config, flow_shift=shift, use_karras_sigmas=False
    )
    as_it_is = {"add_resolution_template": False, "add_duration_template": False, "use_system_prompt": False}
    options = {"height": 64, "width": 96, "num_frames": 5, "num_inference_steps": 3, "guidance_scale": 6.0}
    generator = torch.Generator("cpu").manual_seed(7)
    made = pipeline(**{**as_it_is, **options, **arguments}, generator=generator, output_type="pil")
    return np.stack([np.asarray(frame) for frame in made.video])


def load_reason2(folder: Path) -> tuple[Any, Any]:
    """transformers' processor and model."""
    import torch
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    torch.set_num_threads(CPU_THREADS)
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16)
    return AutoProcessor.from_pretrained(folder), model


def answered(
    processor: Any, model: Any, conversation: list[dict[str, Any]], *, drawn: Mapping[str, Any], **media: Any
) -> str:
    """What a model of transformers says in a conversation. drawn: options of generate(); media: of the processor."""
    text = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], return_tensors="pt", **media)
    made = model.generate(**inputs, **drawn)[0, inputs["input_ids"].shape[1] :]
    decoded: str = processor.tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return decoded


def whole_clip(data: bytes) -> dict[str, Any]:
    """A clip as the processor takes it, which then samples it itself."""
    from transformers.video_utils import VideoMetadata

    frames, fps, _, _ = frames_of_mp4(data)
    metadata = VideoMetadata(total_num_frames=len(frames), fps=fps, height=frames.shape[1], width=frames.shape[2])
    return {"videos": [frames.transpose(0, 3, 1, 2)], "video_metadata": [metadata], "do_sample_frames": True, "fps": 4}
