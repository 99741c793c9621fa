"""How many tokens a conversation may have: what the model was made for, and what its cache may take of the memory."""

from dataclasses import dataclass
from typing import Any

from cosmos_handler.errors import InvalidField
from cosmos_handler.memory.shapes.language import Language
from cosmos_handler.messages.tasks import Answer

# The rest is for what the allocator cannot use and the reckoning does not know.
_SHARE = 0.95


@dataclass(frozen=True)
class Room:
    """The two limits on prompt and answer together. model_tokens: None where the configuration does not say."""

    model_tokens: int | None
    memory_tokens: int

    @property
    def tokens(self) -> int:
        """The smaller one."""
        return self.memory_tokens if self.model_tokens is None else min(self.model_tokens, self.memory_tokens)

    def __str__(self) -> str:
        """Both, in words."""
        known = "" if self.model_tokens is None else f"the model holds {self.model_tokens}, "
        return f"{known}the memory that is free has room for {self.memory_tokens}"


def measure(model: Any, *, model_tokens: int | None, free_bytes: int) -> Room:
    """The room beside a loaded model: what the planner reckons for reading and speaking has to fit."""
    language = Language.from_config(model.config.to_dict(), str(model.dtype).removeprefix("torch."))
    least, most = 0, max(0, free_bytes) // max(1, language.cache_bytes_per_token)
    while least < most:
        tokens = (least + most + 1) // 2
        if max(language.read_bytes(tokens), language.speak_bytes(tokens)) <= free_bytes * _SHARE:
            least = tokens
        else:
            most = tokens - 1
    return Room(model_tokens, least)


def _whole_of(task: Answer) -> str:
    """The client's word for all that is asked: what stands before the first point of "messages.0.content"."""
    return task.turns[-1].pieces[-1].field.partition(".")[0] if task.turns[-1].pieces else "messages"


def longest_answer(task: Answer, prompt_tokens: int, room: Room) -> int:
    """How many tokens it may have. Raises InvalidField where prompt and answer do not fit, with both limits."""
    left = room.tokens - prompt_tokens
    if left < 1:
        problem = f"has {prompt_tokens} tokens with its media ({room})"
        raise InvalidField(_whole_of(task), problem, allowed=f"up to {room.tokens - 1}")
    if task.max_tokens is None:
        return min(task.default_max_tokens, left)
    if task.max_tokens > left:
        problem = f"is {task.max_tokens} after a prompt of {prompt_tokens} tokens ({room})"
        raise InvalidField("max_tokens", problem, allowed=f"1 to {left}")
    return task.max_tokens
