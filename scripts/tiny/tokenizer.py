"""A small byte-level tokenizer of our own with Qwen's special tokens and chat format, in the published file layout."""

import re
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from scripts.tiny.files import write_json

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"
IMAGE_PAD = "<|image_pad|>"
VIDEO_PAD = "<|video_pad|>"

# Both in the published order. Decoding with skip_special_tokens drops the control tokens and keeps the plain ones.
_CONTROL_TOKENS = (
    *(END_OF_TEXT, TURN_START, TURN_END),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *(VISION_START, VISION_END, "<|vision_pad|>", IMAGE_PAD, VIDEO_PAD),
)
_PLAIN_TOKENS = (
    *("<tool_call>", "</tool_call>"),
    *("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
THINKING_TOKENS = ("<tool_response>", "</tool_response>", "<think>", "</think>")  # came with Qwen3

_MOST_MERGED = 640  # 256 bytes and the pairs that occur at least twice in the sample, which are fewer
_HERE = Path(__file__).parent
_SAMPLE = (_HERE / "sample_text.txt").read_text(encoding="utf-8")


def write_tokenizer(
    folder: Path, *, longest_tokens: int, extra_tokens: tuple[str, ...] = ()
) -> PreTrainedTokenizerBase:
    """Train the tokenizer, write its files into `folder`, and return it as transformers loads it from there.

    Every byte is a token, so any text can be encoded. longest_tokens: what the configuration calls
    `model_max_length`. extra_tokens: plain tokens after the common ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in (*_PLAIN_TOKENS, *extra_tokens)])
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))  # vocab.json and merges.txt, which the published folders carry as well
    configuration = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": TURN_END,
        "errors": "replace",
        "model_max_length": longest_tokens,
        "pad_token": END_OF_TEXT,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    write_json(folder / "tokenizer_config.json", configuration)
    (folder / "chat_template.jinja").write_bytes((_HERE / "chat_template.jinja").read_bytes())
    return AutoTokenizer.from_pretrained(folder)


def whole_word_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that are a space and a whole lower-case word of the sample text."""
    words = {f" {word}" for word in re.findall(r"\b[a-z]{2,}\b", _SAMPLE)}
    return [index for index in range(tokenizer.vocab_size) if tokenizer.decode([index]) in words]


def _train() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    # Qwen's own splitting rule, because the class splits by it whatever the file says.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_MOST_MERGED,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SAMPLE.splitlines(), trainer)
    return tokenizer
