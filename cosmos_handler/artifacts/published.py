"""The models that NVIDIA publishes and this package serves, with what is published about the memory they need."""

from dataclasses import dataclass

from cosmos_handler.artifacts import autoregressive, generator, omni, reasoner, transfer
from cosmos_handler.artifacts.checkpoint import Family


@dataclass(frozen=True)
class Published:
    """One repository on the hub.

    smallest_card_gigabytes: the smallest memory of a card sold today that holds the peak with every part resident.
    figure: where that comes from, in words for a reader.
    earlier_id: the same model under the name of the generation before; None: there was none.
    """

    hub_id: str
    family: Family
    tasks: tuple[str, ...]
    smallest_card_gigabytes: int
    figure: str
    earlier_id: str | None = None

    @property
    def hub_ids(self) -> tuple[str, ...]:
        """Every repository that holds it, the newest first."""
        return (self.hub_id,) if self.earlier_id is None else (self.hub_id, self.earlier_id)


_PREDICT, _TRANSFER, _REASON = generator.TASKS, transfer.TASKS, reasoner.TASKS
_OMNI = (*omni.GENERATION_TASKS, *_REASON)


def _autoregressive(size: str, card_gigabytes: int, figure: str) -> Published:
    names = f"nvidia/Cosmos-Predict1-{size}", f"nvidia/Cosmos-1.0-Autoregressive-{size}"
    return Published(names[0], "autoregressive", autoregressive.TASKS, card_gigabytes, figure, earlier_id=names[1])


PUBLISHED: tuple[Published, ...] = (
    Published("nvidia/Cosmos-Predict2.5-2B", "predict2.5", _PREDICT, 40, "32.6 GB published, and 32 GB cards run out"),
    Published("nvidia/Cosmos-Predict2.5-14B", "predict2.5", _PREDICT, 80, "none published; Predict2-14B took 56.4 GB"),
    Published("nvidia/Cosmos-Transfer2.5-2B", "transfer2.5", _TRANSFER, 80, "65.4 GB published"),
    _autoregressive("4B", 40, "31.3 GB published"),
    _autoregressive("5B-Video2World", 80, "66.2 GB published"),
    _autoregressive("12B", 80, "47.5 GB published"),
    _autoregressive("13B-Video2World", 96, "more than 80 GB published, and 76.6 GB without guardrails"),
    Published("nvidia/Cosmos3-Nano", "cosmos3", _OMNI, 48, "32 GB published; its 16B weights alone are 32 GB in bf16"),
    Published("nvidia/Cosmos3-Super", "cosmos3", _OMNI, 141, "128 GB published"),
    Published("nvidia/Cosmos3-Nano-Reasoner", "cosmos3", _REASON, 24, "none published; 8B weights are 16 GB in bf16"),
    Published("nvidia/Cosmos3-Super-Reasoner", "cosmos3", _REASON, 80, "none published; 32B weights are 64 GB in bf16"),
    Published("nvidia/Cosmos-Reason1-7B", "reason1", _REASON, 24, "24 GB published"),
    Published("nvidia/Cosmos-Reason2-2B", "reason2", _REASON, 24, "24 GB published"),
    Published("nvidia/Cosmos-Reason2-8B", "reason2", _REASON, 32, "32 GB published"),
    Published("nvidia/Cosmos-Reason2-32B", "reason2", _REASON, 80, "none published; 32B weights are 66 GB in bf16"),
)
