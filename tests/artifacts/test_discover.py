"""Which checkpoints a model folder holds and what they are called, with and without `cosmos.json`."""

import errno
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import write_generator, write_json, write_reasoner, write_weights


def fault_of(root: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        discover(root)
    return str(caught.value)


def names(checkpoints: tuple[Checkpoint, ...]) -> list[str]:
    return [checkpoint.name for checkpoint in checkpoints]


def manifest(root: Path, *models: Any) -> None:
    write_json(root / "cosmos.json", {"models": list(models)})


def test_a_root_checkpoint_is_named_by_the_caller_its_folder_or_its_family(tmp_path: Path) -> None:
    write_generator(tmp_path / "Cosmos-Predict2.5-2B")
    assert names(discover(tmp_path / "Cosmos-Predict2.5-2B")) == ["Cosmos-Predict2.5-2B"]
    (found,) = discover(tmp_path / "Cosmos-Predict2.5-2B", name="mine", aliases=("org/mine",), revision="c0ffee")
    assert (found.name, found.aliases, found.revision) == ("mine", ("org/mine",), "c0ffee")
    assert names(discover(write_generator(tmp_path / "ml/model"))) == ["predict2.5"]
    assert names(discover(write_reasoner(tmp_path / "other/model"))) == ["reason2"]


def test_subfolders_are_named_as_they_are_called(tmp_path: Path) -> None:
    write_reasoner(tmp_path / "reason")
    write_generator(tmp_path / "predict")
    found = discover(tmp_path, name="not used", revision="abc")
    assert names(found) == ["predict", "reason"]
    assert [checkpoint.path for checkpoint in found] == [str(tmp_path / "predict"), str(tmp_path / "reason")]
    assert {checkpoint.revision for checkpoint in found} == {"abc"}


def test_what_is_no_model_is_passed_over(tmp_path: Path) -> None:
    write_reasoner(tmp_path / "reason")
    for folder in (".cache", "guardrails", "code", "lost+found"):
        write_json(tmp_path / folder / "config.json", {"model_type": "llama"})
    write_json(tmp_path / "notes" / "names.json", {})
    (tmp_path / "empty").mkdir()
    (tmp_path / "reason_$folder$").touch()  # what S3 consoles and tools leave for a folder
    (tmp_path / "README.md").write_text("hello")
    write_json(tmp_path / "config.json", {"of": "something else"})
    assert names(discover(tmp_path)) == ["reason"]


def test_a_link_to_a_checkpoint_counts_as_a_subfolder(tmp_path: Path) -> None:
    write_reasoner(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    (found,) = discover(tmp_path / "root")
    assert (found.name, found.path) == ("linked", str(tmp_path / "elsewhere"))


def test_what_is_wrong_with_any_subfolder_is_told_with_the_rest(tmp_path: Path) -> None:
    write_reasoner(tmp_path / "good")
    (write_reasoner(tmp_path / "cut") / "model.safetensors").write_bytes(b"\1\0\0")
    write_json(tmp_path / "world/model_index.json", {"_class_name": "Cosmos2VideoToWorldPipeline"})
    write_json(tmp_path / "llama/config.json", {"model_type": "llama"})
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/config.json").write_text("{")
    (tmp_path / "native/base/post-trained").mkdir(parents=True)
    (tmp_path / "native/base/post-trained/8_ema_bf16.pt").touch()
    write_weights(tmp_path / "weights/model.safetensors")
    message = fault_of(tmp_path)
    for said in (
        f"{tmp_path}/cut is not a complete Cosmos Reason2 checkpoint:\n  - model.safetensors is truncated",
        f"{tmp_path}/world is Cosmos Predict2 Video2World, which is not supported yet",
        f"{tmp_path}/llama is not a Cosmos checkpoint: config.json names llama",
        f"{tmp_path}/odd/config.json is not valid JSON",
        f"{tmp_path}/native/base/post-trained/8_ema_bf16.pt is empty",
        f"{tmp_path}/weights has weights (model.safetensors), but neither model_index.json nor config.json",
    ):
        assert said in message
    assert "good" not in message
    assert message.endswith(f"(to serve only some of the subfolders, list them in {tmp_path}/cosmos.json)")


def test_nothing_to_serve_says_where_and_what_was_looked_for(tmp_path: Path) -> None:
    expected = "; expected there, or one per subfolder: Cosmos Predict2.5 in diffusers form"
    assert f"there is no model in {tmp_path}/none, which does not exist{expected}" in fault_of(tmp_path / "none")
    assert f"which is empty{expected}" in fault_of(tmp_path)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder").mkdir()
    assert f"which holds only folder, notes.txt{expected}" in fault_of(tmp_path)
    assert f"which is not a folder{expected}" in fault_of(tmp_path / "notes.txt")
    (tmp_path / "model.tar.gz").touch()
    assert f"which holds model.tar.gz still packed{expected}" in fault_of(tmp_path)


def test_a_stranger_alone_in_the_root_is_told_what_it_is(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "llama"})
    assert fault_of(tmp_path).startswith(f"{tmp_path} is not a Cosmos checkpoint: config.json names llama")


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:  # tests may run as root, whom no mode keeps out
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert fault_of(tmp_path) == f"{tmp_path} cannot be read: Permission denied"
    write_reasoner(tmp_path)
    assert fault_of(tmp_path) == f"{tmp_path} cannot be read: Permission denied"


def test_cosmos_json_says_exactly_what_is_served(tmp_path: Path) -> None:
    write_reasoner(tmp_path / "a/deep")
    write_reasoner(tmp_path / "b")
    write_json(tmp_path / "broken/config.json", {"model_type": "cosmos3_omni"})
    manifest(
        tmp_path,
        {"path": "b", "name": "nvidia/second", "aliases": ["s", "two"], "revision": "v1"},
        {"path": "a/deep", "name": "first"},
    )
    second, first = discover(tmp_path, name="not used", revision="abc")
    assert (second.name, second.aliases, second.revision) == ("nvidia/second", ("s", "two"), "v1")
    assert (first.name, first.aliases, first.revision) == ("first", (), "abc")
    assert first.path == str(tmp_path / "a/deep")


def test_cosmos_json_pairs_a_generator_with_a_reasoner(tmp_path: Path) -> None:
    write_generator(tmp_path / "g")
    write_reasoner(tmp_path / "r")
    generator, reasoner = {"path": "g", "name": "maker"}, {"path": "r", "name": "thinker"}
    manifest(tmp_path, {**generator, "prompt_upsampler": "thinker"}, reasoner)
    assert [found.prompt_upsampler for found in discover(tmp_path)] == ["thinker", None]
    manifest(tmp_path, {**generator, "prompt_upsampler": "maker"}, reasoner)
    assert fault_of(tmp_path).endswith("models.0.prompt_upsampler is 'maker' (allowed: thinker)")


def test_cosmos_json_may_name_the_root_itself(tmp_path: Path) -> None:
    manifest(write_reasoner(tmp_path), {"path": ".", "name": "r", "aliases": ["x"]})
    (found,) = discover(tmp_path)
    assert (found.name, found.aliases, found.path) == ("r", ("x",), str(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"models": [{"path": ".", "nmae": "x"}], "v": 1},
            "  - models.0.nmae is not a key of this file (allowed: path",
        ),
        ({"models": [{"path": ".", "nmae": "x"}], "v": 1}, "  - models.0.name is missing"),
        ({"models": [{"path": ".", "nmae": "x"}], "v": 1}, "  - v is not a key of this file (allowed: models)"),
        ({"models": []}, "  - models: list should have at least 1 item"),
        ({"models": [{"path": ".", "name": "a b"}]}, "  - models.0.name is 'a b' (allowed: 1 to 200 letters, digits"),
        ({"models": [{"path": ".", "name": "a", "aliases": [""]}]}, "  - models.0.aliases.0 is '' (allowed: 1 to 200"),
        ({"models": [{"path": ".", "name": "a\n"}]}, "  - models.0.name is 'a\\n' (allowed: 1 to 200 letters"),
        ({"models": [{"path": 3, "name": "a"}]}, "  - models.0.path: input should be a valid string"),
        ({"models": [{"path": "..", "name": "a"}]}, "  - models.0.path is '..', which leads out of the model folder"),
        ({"models": [{"path": "/", "name": "a"}]}, "  - models.0.path is '/', which leads out of the model folder"),
        ({"models": [{"path": "out", "name": "a"}]}, "  - models.0.path is 'out', which leads out of the model folder"),
        ({"models": [{"path": "circle", "name": "a"}]}, "  - models.0.path is 'circle', "),
        ({"models": [{"path": "r\0", "name": "a"}]}, "  - models.0.path is 'r\\x00', which leads out"),
        ({"models": [{"path": "none", "name": "a"}]}, "  - models.0.path is 'none', but there is no such folder"),
        (
            {"models": [{"path": "r", "name": "a"}, {"path": "./r/../r", "name": "b"}]},
            "  - models.1.path is the folder of models.0 again (a model may have several aliases)",
        ),
        (
            {"models": [{"path": "r", "name": "a", "aliases": ["x", "a"]}, {"path": ".", "name": "x"}]},
            "  - models.0.aliases.1 is 'a', which models.0.name is already",
        ),
        (
            {"models": [{"path": "r", "name": "a", "aliases": ["x", "a"]}, {"path": ".", "name": "x"}]},
            "  - models.1.name is 'x', which models.0.aliases.0 is already",
        ),
    ],
)
def test_each_fault_of_cosmos_json_names_its_key(tmp_path: Path, content: Any, said: str) -> None:
    root = write_reasoner(tmp_path / "root")
    write_reasoner(root / "r")
    (root / "out").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    write_json(root / "cosmos.json", content)
    message = fault_of(root)
    assert message.startswith(f"{root}/cosmos.json is not right:\n")
    assert any(line.startswith(said) for line in message.splitlines()), message


def test_cosmos_json_that_is_no_json_is_named(tmp_path: Path) -> None:
    (write_reasoner(tmp_path) / "cosmos.json").write_text("models:")
    assert fault_of(tmp_path) == f"{tmp_path}/cosmos.json is not valid JSON"


def test_what_is_wrong_with_models_of_cosmos_json_is_told_together(tmp_path: Path) -> None:
    (write_reasoner(tmp_path / "a") / "tokenizer.json").unlink()
    (tmp_path / "b").mkdir()
    manifest(tmp_path, {"path": "a", "name": "a"}, {"path": "b", "name": "b"})
    message = fault_of(tmp_path)
    assert f"{tmp_path}/a is not a complete Cosmos Reason2 checkpoint:" in message
    assert f"{tmp_path}/b is not a Cosmos checkpoint: looked for" in message
