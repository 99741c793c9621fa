"""What a model process has to work with, what its deployer wants of it, and how each stage of a run went."""

from collections.abc import Mapping
from typing import Literal

from cosmos_handler.messages.tasks import Value

Placement = Literal["resident", "swapped", "streamed", "disk"]
Offload = Literal[
    "auto", "none", "prompt_upsampler", "guardrails", "text_encoder", "diffusion_decoder", "tokenizer", "all"
]
DecodeMode = Literal["exact", "tiled"]


class MemoryWish(Value):
    """What the deployer says about memory.

    offload: "auto", or a row of NVIDIA's tables of offloading. placement: of parts by name, whatever offload says.
    device_bytes, host_bytes: budgets below what is there. text_cache_bytes: for text embeddings, in host memory.
    """

    offload: Offload = "auto"
    placement: Mapping[str, Placement] = {}
    device_bytes: int | None = None
    host_bytes: int | None = None
    text_cache_bytes: int = 2**30


class Machine(Value):
    """What the planner counts with. Rates are per second: bytes, or floating-point operations in the weights' type.

    device_bytes: for weights and work together. host_bytes: for the weights that do not stay on the device.
    link: from host memory to the device. disk: from the weight files to the device. memory: inside the device.
    """

    name: str
    device_bytes: int
    host_bytes: int
    link_bytes_per_second: float
    disk_bytes_per_second: float
    memory_bytes_per_second: float
    linear_flops_per_second: float
    attention_flops_per_second: float


class StageReport(Value):
    """One stage of a run. None: not measured, or not to be predicted.

    copy_seconds: of the predicted ones, those in which the work waits for weights.
    """

    stage: str
    predicted_peak_bytes: int | None
    measured_peak_bytes: int | None
    predicted_seconds: float | None
    copy_seconds: float | None
    seconds: float
