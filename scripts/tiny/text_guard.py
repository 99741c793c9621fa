"""A tiny text classifier that really judges: its weights are built by hand, so that harmful words decide its answer.

Every token says in one dimension whether it is harmful. One attention head, whose query is the same everywhere, looks
at harmful tokens far more than at others and leaves a mark where there is one. The output layer lets each token of the
answer follow the one before it, and lets the mark choose between the two labels.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import peft
import torch
from tokenizers import AddedToken
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from scripts.tiny.tokenizer import TURN_END, write_tokenizer
from scripts.tiny.weights import padded_rows

HARMFUL = ("massacre", "massacred", "strangle", "strangles", "mutilate", "mutilated")
_HARMFUL, _HARMLESS, _MARK, _FIRST_OF_CHAIN = 0, 1, 2, 8
_WIDTH, _HEAD_WIDTH = 32, 16
_CONTEXT_TOKENS = 32_768

# As Qwen3Guard-Gen asks: the policy around the conversation, and thinking that is over before it begins.
_QWEN_TEMPLATE = """\
{{- '<|im_start|>user\\n# Task: say whether there is unsafe content.\\n<BEGIN CONVERSATION>\\n\\n' }}
{%- for message in messages %}{{- message.role | upper + ': ' + message.content + '\\n\\n' }}{%- endfor %}
{{- '<END CONVERSATION><|im_end|>\\n<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}"""
_LLAMA_TEMPLATE = """\
{{- '<|start_header_id|>user<|end_header_id|>\\n\\nTask: Check if there is unsafe content.\\n\\nUser: ' }}
{{- messages[0].content + '<|eot_id|><|start_header_id|>assistant<|end_header_id|>' }}"""


def write_qwen3guard(folder: Path, *, seed: int) -> None:
    """Write Qwen3Guard-Gen into `folder`. seed: of no effect on the answers; it fills what is not used."""
    safe = ("Safety:", " Safe", "\nCategories:", " None", TURN_END)
    unsafe = ("Safety:", " Unsafe", "\nCategories: Violent", TURN_END)
    tokenizer = _tokenizer(folder, _QWEN_TEMPLATE, (*safe[:-1], *unsafe[1:-1], "<think>", "</think>"))
    configuration = Qwen3Config(**_shape(tokenizer), head_dim=_HEAD_WIDTH)
    _write_model(Qwen3ForCausalLM(configuration), tokenizer, folder, (safe, unsafe), asked_last="\n\n", seed=seed)


def write_llama_guard(folder: Path, *, seed: int) -> None:
    """Write Llama-Guard-3 into `folder`."""
    header = "<|end_header_id|>"
    safe, unsafe = (" safe", TURN_END), (" unsafe", "\nS1", TURN_END)
    tokenizer = _tokenizer(folder, _LLAMA_TEMPLATE, (" safe", " unsafe", "\nS1", "<|start_header_id|>", header))
    _write_model(_llama(tokenizer), tokenizer, folder, (safe, unsafe), asked_last=header, seed=seed)


def write_aegis(folder: Path, *, seed: int) -> None:
    """Write LlamaGuard-7b into `folder`, which finds everything safe, and an adapter that has it see beneath it."""
    safe, unsafe = (" safe", TURN_END), (" unsafe", "\nO1", TURN_END)
    tokenizer = _tokenizer(folder, "[INST] {{ messages[0].content }} [/INST]", (" safe", " unsafe", "\nO1", " [/INST]"))
    model = _llama(tokenizer)
    _write_model(model, tokenizer, folder, (safe, unsafe), asked_last=" [/INST]", seed=seed, sees=False)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=1, lora_alpha=1, target_modules=["v_proj"], task_type="CAUSAL_LM")
    )
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data.zero_()
        if "lora_A" in name:
            parameter.data[0, _HARMFUL] = 1
        if "lora_B" in name:
            parameter.data[0, 0] = 1
    adapted.save_pretrained(folder / "adapter")


def _llama(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**_shape(tokenizer), head_dim=_HEAD_WIDTH))


def _shape(tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    return {
        "vocab_size": padded_rows(len(tokenizer)),
        "hidden_size": _WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": _CONTEXT_TOKENS,
        # The slowest pair of dimensions, which is the one that is used, hardly turns within the context.
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e9},
        "tie_word_embeddings": False,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
    }


def _tokenizer(folder: Path, template: str, answers: Sequence[str]) -> PreTrainedTokenizerBase:
    """The common tokenizer, with a token for each harmful word and each piece of an answer."""
    tokenizer = write_tokenizer(folder, longest_tokens=_CONTEXT_TOKENS)
    words = [form for word in HARMFUL for form in (word, word.capitalize())]
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=False) for word in words])
    tokenizer.add_tokens([AddedToken(answer, normalized=False) for answer in answers])
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def _write_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    answers: tuple[Sequence[str], Sequence[str]],
    *,
    asked_last: str,
    seed: int,
    sees: bool = True,
) -> None:
    """answers: the tokens of the safe and of the unsafe one. asked_last: how every question ends. sees: whether the
    attention passes on what it looks at."""
    (first,) = {tokenizer(asked_last, add_special_tokens=False)["input_ids"][-1]}
    safe, unsafe = ([first, *tokenizer.convert_tokens_to_ids(list(answer))] for answer in answers)
    for parameter in model.parameters():
        parameter.data.zero_()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.fill_(1)
    harmful = [tokenizer.convert_tokens_to_ids(form) for word in HARMFUL for form in (word, word.capitalize())]
    embedding = model.get_input_embeddings().weight.data
    embedding[:, _HARMLESS] = 1
    embedding[harmful, _HARMLESS], embedding[harmful, _HARMFUL] = 0, 1
    chain = {token: _FIRST_OF_CHAIN + place for place, token in enumerate(dict.fromkeys([*safe, *unsafe]))}
    for token, dimension in chain.items():
        embedding[token, dimension] = 1
    _build_attention(model.model.layers[0].self_attn, sees=sees)
    _build_output(model.get_output_embeddings().weight.data, chain, safe, unsafe)
    torch.manual_seed(seed)
    # The feed-forward layer stays mute whatever is in its first half, as its second one is zero.
    torch.nn.init.normal_(model.model.layers[0].mlp.gate_proj.weight, std=0.02)
    model.to(torch.bfloat16).save_pretrained(folder)


def _build_attention(attention: torch.nn.Module, *, sees: bool) -> None:
    slowest = _HEAD_WIDTH // 2 - 1
    attention.q_proj.weight.data[slowest, [_HARMFUL, _HARMLESS]] = 8
    attention.k_proj.weight.data[slowest, _HARMFUL] = 8
    attention.k_proj.weight.data[slowest, _HARMLESS] = -8
    if hasattr(attention, "q_norm"):  # it makes every query as long as any other
        attention.q_norm.weight.data.fill_(16)
    attention.v_proj.weight.data[0, _HARMFUL] = 1 if sees else 0
    attention.o_proj.weight.data[_MARK, 0] = 0.2  # the norm made the value about 5.6


def _build_output(rows: torch.Tensor, chain: Mapping[int, int], safe: Sequence[int], unsafe: Sequence[int]) -> None:
    for answer in (safe, unsafe):
        for token, following in itertools.pairwise(answer):
            rows[following, chain[token]] = 100
    fork = next(place for place, pair in enumerate(zip(safe, unsafe, strict=False)) if pair[0] != pair[1])
    # Without the mark the harmless label is ahead by a little; the mark outweighs that, and nothing else.
    rows[unsafe[fork], chain[unsafe[fork - 1]]] = 95
    rows[unsafe[fork], _MARK] = 20
