"""GPU cards and the machines that hold them, for plans where neither is at hand. Rates are what is sustained, no peaks.

Where no measurement is named, a rate is the vendor's data sheet times what such work usually reaches of it: 0.75 of the
dense bf16 peak in linear layers and somewhat less in attention (less again on cards whose power limit is low), 0.85 of
the memory's bandwidth. A server measures its own rates at its start, and plans with those.
"""

from dataclasses import dataclass

from cosmos_handler.memory.reserves import device_bytes_of_card, host_bytes_of_machine
from cosmos_handler.messages.machine import Machine

# Weight files on the volume that a SageMaker instance comes with, read past the page cache: NVMe by and large.
_DISK_BYTES_PER_SECOND = 1e9
_TERA = 1e12
_GIGA = 10**9


@dataclass(frozen=True)
class Card:
    """One kind of GPU.

    name: as a person writes it. memory_gigabytes: as it is sold. linear_teraflops: bf16, in linear layers and
    convolutions. attention_teraflops: with the kernel that torch's scaled_dot_product_attention takes by itself.
    link_gigabytes: a second, from host memory. memory_gigabytes_per_second: inside the device.
    """

    name: str
    memory_gigabytes: int
    linear_teraflops: float
    attention_teraflops: float
    link_gigabytes: float
    memory_gigabytes_per_second: float
    has_bf16: bool = True


# Links: PCIe 4 gives 24 GB/s and PCIe 5 50 GB/s out of pinned memory (measured by others on L40S, H100 and H200); the
# x8 slots of the small cards' cloud hosts give less.
CARDS = {
    # 650 and 370: bf16 products, and FlashAttention 2, on an H100 SXM and an H200 alike.
    "h100": Card("H100 SXM 80 GB", 80, 650, 370, 50, 2850),
    # Scaled from the SXM's by NVIDIA's published times for Predict2-14B at 720p: 391 and 370 of 615 TFLOP/s.
    "h100-nvl": Card("H100 NVL 94 GB", 94, 413, 235, 50, 3350),
    "h100-pcie": Card("H100 PCIe 80 GB", 80, 390, 222, 50, 1700),
    # 4.3 TB/s measured.
    "h200": Card("H200 141 GB", 141, 650, 370, 50, 4300),
    # NVIDIA's published times give 1090 to 1200 TFLOP/s with kernels made for it; FlashAttention 2 is not one of them.
    "b200": Card("B200 180 GB", 180, 1250, 450, 50, 6800),
    "h20": Card("H20 96 GB", 96, 128, 120, 50, 3400),  # 127 and 128 published for whole videos, of 148
    "a100-80": Card("A100 80 GB", 80, 240, 190, 24, 1730),
    "a100-40": Card("A100 40 GB", 40, 240, 190, 24, 1320),
    "l40s": Card("L40S 48 GB", 48, 170, 160, 24, 730),  # 180 published for Predict2-2B, whose work is mostly attention
    "a10g": Card("A10G 24 GB", 24, 52, 46, 20, 510),  # of a peak of 70
    "l4": Card("L4 24 GB", 24, 55, 45, 12, 255),  # of a peak of 121, at 72 W
    # 279 and 336 published for the 2B and the 14B at 480p.
    "rtx-pro-6000": Card("RTX PRO 6000 96 GB", 96, 400, 240, 50, 1520),
    "rtx-5090": Card("RTX 5090 32 GB", 32, 175, 160, 50, 1520),
    "rtx-4090": Card("RTX 4090 24 GB", 24, 145, 135, 24, 860),
    # Neither computes in bf16, in which the weights are stored: what they reach in fp16.
    "v100": Card("V100 16 GB", 16, 80, 30, 11, 770, has_bf16=False),
    "t4": Card("T4 16 GB", 16, 28, 15, 6, 270, has_bf16=False),
}

# One that stands for every card of about this size, the smaller first.
_TYPICAL = ("a10g", "rtx-5090", "a100-40", "l40s", "h100", "rtx-pro-6000", "h200", "b200")


@dataclass(frozen=True)
class Instance:
    """A type of AWS's instances. card: a key of CARDS. host_gibibytes: as AWS says it."""

    card: str
    num_cards: int
    host_gibibytes: int


# For each size of a family: the number of cards, and the host's memory.
_SMALL = {
    "xlarge": (1, 16), "2xlarge": (1, 32), "4xlarge": (1, 64), "8xlarge": (1, 128), "16xlarge": (1, 256),
    "12xlarge": (4, 192),
}  # fmt: skip
_FAMILIES = {
    "g4dn": ("t4", _SMALL),
    "g5": ("a10g", {**_SMALL, "24xlarge": (4, 384), "48xlarge": (8, 768)}),
    "g6": ("l4", {**_SMALL, "24xlarge": (4, 384), "48xlarge": (8, 768)}),
    "g6e": ("l40s", {
        "xlarge": (1, 32), "2xlarge": (1, 64), "4xlarge": (1, 128), "8xlarge": (1, 256), "16xlarge": (1, 512),
        "12xlarge": (4, 384), "24xlarge": (4, 768), "48xlarge": (8, 1536),
    }),
    "g7e": ("rtx-pro-6000", {
        "2xlarge": (1, 64), "4xlarge": (1, 128), "8xlarge": (1, 256),
        "12xlarge": (2, 512), "24xlarge": (4, 1024), "48xlarge": (8, 2048),
    }),
    "p3": ("v100", {"2xlarge": (1, 61), "8xlarge": (4, 244), "16xlarge": (8, 488)}),
    "p4d": ("a100-40", {"24xlarge": (8, 1152)}),
    "p4de": ("a100-80", {"24xlarge": (8, 1152)}),
    "p5": ("h100", {"4xlarge": (1, 256), "48xlarge": (8, 2048)}),
    "p5e": ("h200", {"48xlarge": (8, 2048)}),
    "p5en": ("h200", {"48xlarge": (8, 2048)}),
    "p6-b200": ("b200", {"48xlarge": (8, 2048)}),
}  # fmt: skip
INSTANCES = {
    f"{family}.{size}": Instance(card, num_cards, host_gibibytes)
    for family, (card, sizes) in _FAMILIES.items()
    for size, (num_cards, host_gibibytes) in sizes.items()
}


def find_card(name: str) -> Card:
    """A card by its key, however it is spelled. Raises KeyError."""
    return CARDS["-".join(name.lower().replace("_", " ").replace("-", " ").split())]


def find_instance(name: str) -> Instance:
    """An instance type, with or without SageMaker's "ml." before it. Raises KeyError."""
    return INSTANCES[name.lower().removeprefix("ml.")]


def typical_card(memory_gigabytes: float) -> Card:
    """What stands for a card of which only the size is known: the smallest that has as much, or the largest of all."""
    return next((CARDS[key] for key in _TYPICAL if CARDS[key].memory_gigabytes >= memory_gigabytes), CARDS["b200"])


def machine_of(card: Card, *, device_bytes: int, host_bytes: int, name: str | None = None) -> Machine:
    """A machine to plan with that is not here. device_bytes, host_bytes: all that the card and its host have."""
    return Machine(
        name=name or card.name,
        device_bytes=device_bytes_of_card(device_bytes),
        host_bytes=host_bytes_of_machine(host_bytes),
        link_bytes_per_second=card.link_gigabytes * _GIGA,
        disk_bytes_per_second=_DISK_BYTES_PER_SECOND,
        memory_bytes_per_second=card.memory_gigabytes_per_second * _GIGA,
        linear_flops_per_second=card.linear_teraflops * _TERA,
        attention_flops_per_second=card.attention_teraflops * _TERA,
    )
