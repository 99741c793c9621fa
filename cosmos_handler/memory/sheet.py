"""What the planner knows of a run: parts and stages, as plain numbers."""

from dataclasses import dataclass, replace

# The rows of NVIDIA's tables of offloading, which are the units in which parts are placed together.
GROUPS = ("prompt_upsampler", "guardrails", "text_encoder", "diffusion_decoder", "tokenizer", "transformer")


# Of tensors that lie in one stretch: what the widest loads of a GPU ask for.
ALIGNMENT_BYTES = 16


@dataclass(frozen=True)
class PartSheet:
    """One set of weights.

    owner: the checkpoint's name, or that of the guardrails. group: one of GROUPS.
    num_blocks: how many blocks of it can be streamed, the largest of which takes block_bytes; 0: it has none.
    rest_bytes: what lies outside of the blocks.
    """

    owner: str
    name: str
    group: str
    size_bytes: int
    num_blocks: int = 0
    block_bytes: int = 0
    rest_bytes: int = 0

    @property
    def key(self) -> str:
        """Its name among the parts of all owners."""
        return f"{self.owner}/{self.name}"

    @property
    def streamed_bytes(self) -> int:
        """What it takes on the device while it is streamed: two blocks in flight and what is no block."""
        return self.rest_bytes + min(2, self.num_blocks) * self.block_bytes


@dataclass(frozen=True)
class Work:
    """How much a stage does: operations in linear layers and convolutions, in attention, and bytes moved in the device.

    The last counts where weights or a cache are read for every token, which takes longer than the arithmetic.
    """

    linear_flops: float = 0.0
    attention_flops: float = 0.0
    memory_bytes: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.linear_flops + other.linear_flops,
            self.attention_flops + other.attention_flops,
            self.memory_bytes + other.memory_bytes,
        )

    def times(self, count: float) -> "Work":
        """The same, so many times."""
        return Work(self.linear_flops * count, self.attention_flops * count, self.memory_bytes * count)


@dataclass(frozen=True)
class StageSheet:
    """One stage of a run.

    parts: keys of the parts that lie on the device together in it.
    working_bytes: the most that it takes beside weights: inputs, activations, outputs, and what later stages wait for.
    tiled_working_bytes: the same where the VAE decodes in tiles; None where that is no choice.
    work: of all entries together. num_entries: how many times it begins, as for each chunk of a long video.
    num_forwards: how many times its parts are gone through in all.
    """

    name: str
    parts: tuple[str, ...]
    working_bytes: int
    work: Work = Work()
    num_entries: int = 1
    num_forwards: int = 1
    tiled_working_bytes: int | None = None

    def times(self, count: int) -> "StageSheet":
        """The same done so many times, one after the other."""
        entries, forwards = self.num_entries * count, self.num_forwards * count
        return replace(self, work=self.work.times(count), num_entries=entries, num_forwards=forwards)

    def beside(self, waiting_bytes: int) -> "StageSheet":
        """The same while something else waits on the device."""
        tiled = None if self.tiled_working_bytes is None else self.tiled_working_bytes + waiting_bytes
        return replace(self, working_bytes=self.working_bytes + waiting_bytes, tiled_working_bytes=tiled)
