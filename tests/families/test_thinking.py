"""Think tags are split off the same way wherever the text is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.families.conversing.thinking import ThinkSplitter, split


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("plain answer", None, "plain answer"),
        (" led by a blank ", None, " led by a blank "),
        ("<think>\nbecause\n</think>\n\nso", "because", "so"),
        ("  <think>because</think><answer>so</answer>", "because", "<answer>so</answer>"),
        ("<think>cut off in the mid", "cut off in the mid", ""),
        ("<think></think>so", None, "so"),
        ("a <think> in the middle </think> stays", None, "a <think> in the middle </think> stays"),
        ("<thin ice", None, "<thin ice"),
        ("", None, ""),
        ("<thi", None, "<thi"),
    ],
)
def test_whole_texts(text: str, reasoning: str | None, answer: str) -> None:
    assert split(text, open_already=False) == (reasoning, answer)


def test_a_prompt_that_has_opened_the_tag() -> None:
    assert split("because</think>so", open_already=True) == ("because", "so")


fragments = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", " ", "\n", "</thi", "word", "so on "])
    | st.text(max_size=3),
    max_size=12,
)


@given(fragments, st.booleans(), st.data())
def test_the_cuts_do_not_matter(pieces: list[str], open_already: bool, data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    splitter = ThinkSplitter(open_already=open_already)
    out = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        out += list(splitter.feed(text[start:end]))
    out += list(splitter.finish())
    streamed = {flag: "".join(piece for piece, reasoning in out if reasoning is flag) for flag in (True, False)}
    assert (streamed[True] or None, streamed[False]) == split(text, open_already=open_already)
