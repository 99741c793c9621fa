"""What no log may hold: shown by a process of its own that lets everything slip that libraries let slip."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler import redaction
from cosmos_handler.redaction import clean, harmless, remember, texts_in
from tests.conftest import ROOT

PROMPT = "A robot welds the marked door of vault seventeen, 在仓库里焊接秘密的门"
LEAKS = f"""
import logging, sys, threading, warnings
from cosmos_handler.telemetry import configure_logging
configure_logging("INFO", process="test", secrets=["known-secret-0123"])
from cosmos_handler.redaction import remember
prompt = {PROMPT!r}
remember([prompt])
log = logging.getLogger("cosmos_handler.x")
library = logging.getLogger("library.x")
own = logging.StreamHandler(); library.addHandler(own); library.propagate = False  # as transformers does
library.warning("truncated: %s", [prompt[10:40]])
logging.getLogger("other").error("escaped %r", prompt.encode("unicode_escape").decode())
warnings.warn("token in " + prompt)
print("printed", prompt); print("begun ", end=""); print(prompt)
sys.stderr.write("written " + prompt.upper() + "\\n")
def fail(): raise ValueError("cannot use " + repr(prompt))
try:
    try: fail()
    except ValueError as error: raise KeyError(prompt) from error
except KeyError: log.exception("our own sentence")
try: raise ExceptionGroup("g " + prompt, [ValueError(prompt)])
except ExceptionGroup: log.exception("a group")
thread = threading.Thread(target=fail); thread.start(); thread.join()
log.info("known-secret-0123 and harmless")
library.warning("a tensor of shape (1, 2) came")
try: raise RuntimeError("CUDA error: an illegal memory access")
except RuntimeError: log.exception("of the device")
fail()
"""


def test_nothing_slips_past_the_log() -> None:
    ran = subprocess.run([sys.executable, "-c", LEAKS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    log = ran.stderr.lower()
    for word in ("marked", "seventeen", "秘密", "\\u79d8", "known-secret", "vault"):
        assert word not in log, ran.stderr
    for told in ("our own sentence", "builtins.ValueError: [withheld", "which led to", "a tensor of shape (1, 2) came",
                 "CUDA error: an illegal memory access", "in fail", "[…] and harmless"):  # fmt: skip
        assert told in ran.stderr


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        (
            "GET https://b.s3.amazonaws.com/a/b.mp4?X-Amz-Signature=0abc&x=1 failed",
            "b.s3.amazonaws.com/a/b.mp4",
            "0abc",
        ),
        ("https://user:pass@host.example/a", "host.example/a", "pass@"),
        ("s3://bucket/key?versionId=77aa", "s3://bucket/key", "77aa"),
        ("headers={'Authorization': 'Bearer abc.def-123'}", "headers", "abc.def"),
        ("authorization: bearer abcdef123456", "authorization", "abcdef"),
        ("token hf_abcdefghijklmnopqrst was refused", "was refused", "hf_abc"),
        ("AKIAABCDEFGHIJKLMNOP is unknown", "is unknown", "AKIA"),
        ("aws_secret_access_key='wJalrXUtnFEMI/K7'", "aws_secret_access_key", "wJalr"),
        ("X-Amz-Security-Token=IQoJb3JpZ2lu", "X-Amz-Security-Token", "IQoJ"),
        ("cannot decode data:video/mp4;base64,AAAAIGZ0eXA=", "cannot decode", "AAAA"),
        ("bytes " + "QUJD" * 80, "bytes", "QUJDQUJD"),
    ],
)
def test_what_looks_like_a_secret(text: str, kept: str, gone: str) -> None:
    assert kept in clean(text)
    assert gone not in clean(text)
    assert clean(clean(text)) == clean(text)


def test_sentences_of_ours_stay_as_they_are() -> None:
    for text in ("job job-20261121T120000-0123456789ab completed: {'denoise': 1.5}", "listening on 0.0.0.0, port 8080",
                 "loaded transformer of predict2.5: 3.84 GiB in 2.0 s", "max_tokens: is 3"):  # fmt: skip
        assert clean(text) == text


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_said", redaction._Said())


@pytest.mark.usefixtures("fresh")
def test_a_request_is_known_by_any_twelve_letters_of_it() -> None:
    remember(texts_in({"prompt": ["the quick brown fox"], "a": {"b": "hunter2hunter"}}))
    assert "fox" not in harmless("input: 'Quick\\n brown FOX'")
    assert harmless("hunter2hunt") == "hunter2hunt"
    assert "hunter" not in harmless("x hunter2hunter")
    assert harmless("an ordinary sentence") == "an ordinary sentence"


@pytest.mark.usefixtures("fresh")
def test_what_is_remembered_is_bounded() -> None:
    for number in range(3000):
        remember([f"{number:05d} " + "word " * 60])
    assert redaction._said._size_bytes <= 2**18
    assert "02999" not in harmless("02999 wordword word")
    remember(str(number) * 4 for number in range(10**6))  # ends soon all the same


@given(st.text(min_size=1, max_size=400), st.integers(0, 100), st.integers(0, 100))
def test_any_long_enough_piece_of_any_text_is_withheld(text: str, start: int, end: int) -> None:
    piece = text[start : len(text) - end]
    letters = [letter for letter in piece if letter.isalnum()]
    said = redaction._Said()
    said.add(text)
    if len(letters) >= 12 and "\\" not in text:
        assert said.is_repeated_by(f"before {piece!s} after")
