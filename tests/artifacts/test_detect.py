"""What one folder is: both served families read in full, every fault listed together, every other Cosmos named."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits, Part
from cosmos_handler.artifacts.detect import detect
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.safetensors_header import read_header
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import (
    PIPELINE,
    safetensors_bytes,
    write_generator,
    write_json,
    write_reasoner,
    write_shards,
    write_weights,
)

DIT = "transformer/diffusion_pytorch_model"
REASON1_CLASS = "Qwen2_5_VLForConditionalGeneration"
MAKE_TINY = Path(__file__).parents[2] / "scripts" / "make_tiny.py"


def faults_of(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        detect(folder, name="m")
    return str(caught.value)


def change_json(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    write_json(path, {key: value for key, value in (content | changes).items() if value is not None})


def test_a_generator_is_read_in_full(tmp_path: Path) -> None:
    checkpoint = detect(write_generator(tmp_path), name="predict", aliases=("p",), revision="abc")
    assert checkpoint == Checkpoint(
        name="predict",
        aliases=("p",),
        path=str(tmp_path),
        family="predict2.5",
        tasks=("text2world", "image2world", "video2world"),
        revision="abc",
        parts=(
            Part("text_encoder", "text_encoder", ("text_encoder/model.safetensors",), 72, "bfloat16"),
            Part("transformer", "transformer", (f"{DIT}.safetensors",), 72, "bfloat16"),
            Part("tokenizer", "vae", ("vae/diffusion_pytorch_model.safetensors",), 60, "float32"),
        ),
        generation=GenerationLimits(
            max_frames=509, max_height=1920, max_width=1920, temporal_factor=4, size_multiple=16
        ),
        context_tokens=None,
    )


def test_a_reasoner_is_read_in_full(tmp_path: Path) -> None:
    checkpoint = detect(write_reasoner(tmp_path), name="reason")
    assert (checkpoint.family, checkpoint.tasks, checkpoint.generation) == ("reason2", ("reasoner",), None)
    assert checkpoint.parts == (Part("model", ".", ("model.safetensors",), 72, "bfloat16"),)
    assert checkpoint.context_tokens == 262144
    assert re.fullmatch("files-[0-9a-f]{12}", checkpoint.revision)


def test_checkpoints_survive_the_pipe(tmp_path: Path) -> None:
    checkpoints = (
        detect(write_generator(tmp_path / "g"), name="g"),
        detect(write_reasoner(tmp_path / "r"), name="r", aliases=("a", "b")),
    )
    pipe = TypeAdapter(tuple[Checkpoint, ...])
    assert pipe.validate_json(pipe.dump_json(checkpoints)) == checkpoints


@pytest.mark.parametrize(
    ("max_size", "patch_size", "downsample", "limits"),
    [
        ([4, 32, 32], [1, 2, 2], [False, True, True], GenerationLimits(13, 256, 256, 4, 16)),
        ([4, 33, 31], [1, 2, 2], [False, True, True], GenerationLimits(13, 256, 240, 4, 16)),  # half patches are none
        ([8, 33, 31], [1, 1, 1], [False, True, True], GenerationLimits(29, 256, 240, 4, 16)),  # the pipeline wants 16
        ([5, 32, 32], [2, 2, 2], [False, True, True], GenerationLimits(13, 256, 256, 4, 16)),
        ([4, 32, 64], [1, 2, 2], [True, True, True, False], GenerationLimits(25, 512, 1024, 8, 32)),
        (None, None, None, GenerationLimits(509, 1920, 1920, 4, 16)),  # what diffusers builds when nothing is said
    ],
)
def test_limits_follow_the_position_table(
    tmp_path: Path, max_size: Any, patch_size: Any, downsample: Any, limits: GenerationLimits
) -> None:
    write_generator(tmp_path)
    change_json(tmp_path / "transformer/config.json", max_size=max_size, patch_size=patch_size)
    change_json(tmp_path / "vae/config.json", temperal_downsample=downsample)
    assert detect(tmp_path, name="m").generation == limits


def test_shards_are_found_through_their_index(tmp_path: Path) -> None:
    write_generator(tmp_path)
    one = {"a": ("F32", (4,)), "b": ("BF16", (6,))}
    write_shards(tmp_path / "transformer", "diffusion_pytorch_model", {"x-1.safetensors": one})
    part = detect(tmp_path, name="m").parts[1]
    # Beside a single file, diffusers takes the shards.
    assert part == Part("transformer", "transformer", ("transformer/x-1.safetensors",), 28, "float32")

    write_shards(tmp_path / "text_encoder", "model", {"y-1.safetensors": one, "y-2.safetensors": {"c": ("F16", (99,))}})
    assert detect(tmp_path, name="m").parts[0].size_bytes == 72  # and transformers the single file
    (tmp_path / "text_encoder/model.safetensors").unlink()
    sharded = detect(tmp_path, name="m").parts[0]
    assert sharded.files == ("text_encoder/y-1.safetensors", "text_encoder/y-2.safetensors")
    assert (sharded.size_bytes, sharded.dtype) == (28 + 198, "float16")


def test_every_fault_of_a_folder_is_listed_together(tmp_path: Path) -> None:
    write_generator(tmp_path)
    shutil.rmtree(tmp_path / "scheduler")
    (tmp_path / "tokenizer/tokenizer.json").unlink()
    (tmp_path / "text_encoder/config.json").write_text("{")
    weights = tmp_path / f"{DIT}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (tmp_path / "vae/diffusion_pytorch_model.safetensors").rename(tmp_path / "vae/diffusion_pytorch_model.bin")
    size_bytes = weights.stat().st_size
    assert faults_of(tmp_path).splitlines() == [
        f"{tmp_path} is not a complete Cosmos Predict2.5 checkpoint:",
        "  - scheduler/scheduler_config.json is missing",
        "  - tokenizer/tokenizer.json is missing (and so is one of tokenizer/vocab.json and tokenizer/merges.txt)",
        "  - text_encoder/config.json is not valid JSON",
        f"  - {DIT}.safetensors is truncated: its header promises {size_bytes + 1} bytes, the file has {size_bytes}",
        "  - vae/diffusion_pytorch_model.safetensors is missing, and so is "
        "vae/diffusion_pytorch_model.safetensors.index.json with shards: "
        "the weights are only there as diffusion_pytorch_model.bin, but safetensors are needed",
    ]


def remove(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def rename(file: str, new: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).rename(folder / new) and None


def set_keys(file: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / file, **changes)


def index(content: Any) -> Callable[[Path], None]:
    return lambda folder: write_json(folder / f"{DIT}.safetensors.index.json", content)


def weights(tensors: Any) -> Callable[[Path], None]:
    return lambda folder: write_weights(folder / f"{DIT}.safetensors", tensors)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove("transformer/config.json"), "transformer/config.json is missing"),
        (remove("tokenizer/tokenizer_config.json"), "tokenizer/tokenizer_config.json is missing"),
        (set_keys("tokenizer/tokenizer_config.json", chat_template=None), "tokenizer/chat_template.jinja is missing"),
        (remove(f"{DIT}.safetensors"), f"{DIT}.safetensors is missing, and so is {DIT}.safetensors.index.json with"),
        (
            rename(f"{DIT}.safetensors", f"{DIT}-00001-of-00002.safetensors"),
            "with shards (there is diffusion_pytorch_model-00001-of-00002.safetensors)",
        ),
        (set_keys("model_index.json", vae=None), "model_index.json does not list vae as [library, class]"),
        (
            set_keys("transformer/config.json", _class_name="WanTransformer3DModel"),
            "transformer/config.json: _class_name is 'WanTransformer3DModel', not 'CosmosTransformer3DModel'",
        ),
        (set_keys("text_encoder/config.json", model_type="t5"), "text_encoder/config.json: model_type is 't5', not"),
        (set_keys("transformer/config.json", max_size=[1, 2]), "max_size is not three positive whole numbers"),
        (set_keys("transformer/config.json", patch_size=[0, 2, 2]), "patch_size is not three positive whole numbers"),
        (set_keys("transformer/config.json", max_size=[4, 1, 32]), "max_size has no room for a single patch"),
        (set_keys("vae/config.json", temperal_downsample=[1]), "temperal_downsample is not a list of true and false"),
        (index({"weight_map": {"a": 1}}), "index.json has no weight_map from tensors to files"),
        (index({"weight_map": {}}), "index.json has no weight_map from tensors to files"),
        (index([]), "index.json is not a JSON object"),
        (index({"weight_map": {"a": "../vae/x.safetensors"}}), "names '../vae/x.safetensors', which is not a"),
        (index({"weight_map": {"a": "/x.safetensors"}}), "names '/x.safetensors', which is not a safetensors file"),
        (index({"weight_map": {"a": "model.bin"}}), "names 'model.bin', which is not a safetensors file inside its"),
        (index({"weight_map": {"a": "x.safetensors"}}), "transformer/x.safetensors is missing, though transformer/"),
        (
            index({"weight_map": {"b.bias": f"{Path(DIT).name}.safetensors", "z": f"{Path(DIT).name}.safetensors"}}),
            f"{DIT}.safetensors lacks 1 of the tensors that {DIT}.safetensors.index.json promises, such as 'z'",
        ),
        (weights({}), f"{DIT}.safetensors holds no tensors"),
        (weights({"w": ("U8", (9,))}), "the weights of transformer are stored as uint8: only bfloat16, float16, float"),
    ],
)
def test_each_fault_of_a_generator_names_its_file(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(write_generator(tmp_path))
    header, fault = faults_of(tmp_path).splitlines()  # one harm, one fault
    assert header == f"{tmp_path} is not a complete Cosmos Predict2.5 checkpoint:"
    assert said in fault


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove("tokenizer.json"), "tokenizer.json is missing (and so is one of vocab.json and merges.txt)"),
        (remove("chat_template.jinja"), "chat_template.jinja or chat_template.json is missing"),
        (remove("preprocessor_config.json"), "preprocessor_config.json is missing"),
        (
            rename("model.safetensors", "pytorch_model.bin"),
            "only there as pytorch_model.bin, but safetensors are needed",
        ),
        (set_keys("config.json", text_config={"max_position_embeddings": "many"}), "is not a positive whole number"),
        (set_keys("config.json", text_config=7), "is not a positive whole number"),
    ],
)
def test_each_fault_of_a_reasoner_names_its_file(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(write_reasoner(tmp_path))
    header, fault = faults_of(tmp_path).splitlines()
    assert header == f"{tmp_path} is not a complete Cosmos Reason2 checkpoint:"
    assert said in fault


def test_a_reasoner_may_keep_its_settings_where_older_and_newer_libraries_put_them(tmp_path: Path) -> None:
    write_reasoner(tmp_path)
    change_json(tmp_path / "config.json", text_config=None)
    for file in ("chat_template.jinja", "video_preprocessor_config.json", "tokenizer.json"):
        (tmp_path / file).unlink()
    write_json(tmp_path / "chat_template.json", {"chat_template": "x"})
    write_json(tmp_path / "vocab.json", {})
    (tmp_path / "merges.txt").write_text("")
    assert detect(tmp_path, name="m").context_tokens == 128_000  # the library's own default

    for file in ("chat_template.json", "preprocessor_config.json"):
        (tmp_path / file).unlink()
    combined = {"image_processor": {}, "chat_template": "x"}
    write_json(tmp_path / "processor_config.json", combined)
    assert "video_preprocessor_config.json is missing" in faults_of(tmp_path)
    write_json(tmp_path / "processor_config.json", combined | {"video_processor": {}})
    assert detect(tmp_path, name="m").family == "reason2"


@pytest.mark.parametrize("named", [{"model_type": "qwen2_5_vl"}, {"architectures": [REASON1_CLASS]}])
def test_reason1_has_one_file_of_settings_for_images_and_videos(tmp_path: Path, named: dict[str, Any]) -> None:
    write_reasoner(tmp_path)
    write_json(tmp_path / "config.json", {**named, "max_position_embeddings": 4321})  # flat, as it was before
    (tmp_path / "video_preprocessor_config.json").unlink()
    checkpoint = detect(tmp_path, name="m")
    assert (checkpoint.family, checkpoint.tasks, checkpoint.context_tokens) == ("reason1", ("reasoner",), 4321)
    (tmp_path / "tokenizer.json").unlink()
    assert faults_of(tmp_path).startswith(f"{tmp_path} is not a complete Cosmos Reason1 checkpoint:")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model_index.json", {"_class_name": "CosmosTextToWorldPipeline"}, "is Cosmos 1.0 or Predict1 Text2World"),
        ("model_index.json", {"_class_name": "CosmosVideoToWorldPipeline"}, "is Cosmos 1.0 or Predict1 Video2World"),
        ("model_index.json", {"_class_name": "Cosmos2TextToImagePipeline"}, "is Cosmos Predict2 Text2Image"),
        ("model_index.json", {"_class_name": "Cosmos2VideoToWorldPipeline"}, "is Cosmos Predict2 Video2World"),
        ("model_index.json", {"_class_name": "Cosmos9Pipeline"}, "is a Cosmos model of the class Cosmos9Pipeline,"),
        ("modular_model_index.json", {"_class_name": "Cosmos3DistilledModularPipeline"}, "is a Cosmos 3 of the class"),
        ("config.json", {"model_type": "cosmos3_edge"}, "is Cosmos 3 Edge,"),
        ("config.json", {"architectures": ["CosmosEmbed1"]}, "is a Cosmos model of the type CosmosEmbed1,"),
        (
            "config.json",
            {"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForSequenceClassification"]},
            "is Cosmos Reason1 Reward, or another model with a head of its own",
        ),
    ],
)
def test_other_cosmos_models_are_named_and_refused(tmp_path: Path, file: str, content: Any, said: str) -> None:
    write_json(tmp_path / file, content)
    message = faults_of(tmp_path)
    assert message.startswith(f"{tmp_path} {said}")
    assert "which is not supported yet; served are Cosmos Predict2.5 in diffusers form" in message


@pytest.mark.parametrize(
    "name", ["Cosmos3-Nano-Policy-DROID", "Cosmos3-Nano-Transfer-Auto", "Cosmos-Reason1-7B-Reward"]
)
def test_what_bears_no_other_mark_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    folder = write_reasoner(tmp_path / name)
    assert faults_of(folder).startswith(f"{folder} is ")
    assert "which is not supported yet; served are" in faults_of(folder)


@pytest.mark.parametrize("file", ["tokenizer.pth", "encoder.jit"])
@pytest.mark.parametrize("config", [None, {"some": "thing"}])
def test_files_of_nvidias_own_without_a_checkpoint_are_named_and_refused(
    tmp_path: Path, file: str, config: Any
) -> None:
    (tmp_path / file).write_bytes(b"x")
    if config is not None:
        write_json(tmp_path / "config.json", config)  # as in the Cosmos 1.0 repositories
    assert f"is a model in NVIDIA's own form ({file}), which is not supported yet" in faults_of(tmp_path)


@pytest.mark.parametrize("file", ["model.pt", "base/post-trained/81edfebe_ema_bf16.pt"])
def test_a_native_checkpoint_that_is_no_file_of_torch_is_named(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"x")
    assert faults_of(tmp_path) == f"{tmp_path / file} is not a file of torch.save"


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model_index.json", {"_class_name": "WanPipeline"}, "model_index.json names WanPipeline"),
        ("model_index.json", {}, "model_index.json names no pipeline"),
        ("config.json", {"model_type": "llama", "architectures": ["L"]}, "config.json names llama L"),
        ("config.json", {}, "config.json names no model_type"),
        ("notes.txt", {}, "looked for"),
    ],
)
def test_strangers_are_told_what_is_served(tmp_path: Path, file: str, content: Any, said: str) -> None:
    write_json(tmp_path / file, content)
    message = faults_of(tmp_path)
    assert message.startswith(f"{tmp_path} is not a Cosmos checkpoint: ")
    assert said in message
    assert "Cosmos2_5_PredictBasePipeline" in message
    assert "qwen3_vl" in message


def test_pieces_of_a_model_are_told_from_none(tmp_path: Path) -> None:
    (write_generator(tmp_path / "g") / "model_index.json").unlink()
    assert "its model_index.json is missing" in faults_of(tmp_path / "g")
    (write_reasoner(tmp_path / "r") / "config.json").unlink()
    assert "has weights (model.safetensors), but neither model_index.json nor config.json" in faults_of(tmp_path / "r")
    (tmp_path / "r/config.json").write_text("[]")
    assert faults_of(tmp_path / "r") == f"{tmp_path / 'r/config.json'} is not a JSON object"


def test_the_revision_tells_files_apart(tmp_path: Path) -> None:
    def revision(folder: Path) -> str:
        return detect(folder, name="m").revision

    first = revision(write_generator(tmp_path / "a"))
    copy = shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    write_json(copy / "cosmos.json", {"models": []})
    (copy / "README.md").write_text("hello")
    assert revision(copy) == first

    for number, (file, content) in enumerate(
        (
            ("model_index.json", json.dumps(PIPELINE | {"_diffusers_version": "0.42.1"}).encode()),
            ("transformer/config.json", b'{"_class_name": "CosmosTransformer3DModel"}'),
            ("tokenizer/tokenizer_config.json", b'{"chat_template": "{{ massages }}"}'),  # as long as before
            ("tokenizer/chat_template.jinja", b"{{ massages }}"),
            ("vae/diffusion_pytorch_model.safetensors", safetensors_bytes({"v": ("F32", (3, 5))}, {"format": "pt"})),
        )
    ):
        changed = shutil.copytree(tmp_path / "a", tmp_path / str(number))
        (changed / file).write_bytes(content)
        assert revision(changed) != first, file


def test_a_shard_that_an_index_names_must_lie_in_its_folder_links_followed(tmp_path: Path) -> None:
    folder = write_reasoner(tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"w": "part.safetensors"}})
    (folder / "part.safetensors").symlink_to(tmp_path / "outside.safetensors")
    assert "'part.safetensors', which is a link that leads out of its folder" in faults_of(folder)
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"w": "way/outside.safetensors"}})
    (folder / "way").symlink_to(tmp_path)
    assert "'way/outside.safetensors', which is a link that leads out" in faults_of(folder)
    (folder / "part.safetensors").unlink()
    (folder / "part.safetensors").symlink_to("part.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"w": "part.safetensors"}})
    assert "part.safetensors" in faults_of(folder)


def test_shards_in_the_hub_s_cache_are_links_to_its_blobs(tmp_path: Path) -> None:
    folder = write_reasoner(tmp_path / "models--a--b/snapshots/0123")
    blobs = tmp_path / "models--a--b/blobs"
    blobs.mkdir()
    header = read_header(folder / "model.safetensors")
    (folder / "model.safetensors").rename(blobs / "abcd")
    (folder / "part.safetensors").symlink_to("../../blobs/abcd")
    weight_map = dict.fromkeys(header.tensors, "part.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})
    assert detect(folder, name="m").parts[0].files == ("part.safetensors",)


def test_links_to_files_are_followed_and_dangling_ones_are_missing(tmp_path: Path) -> None:
    write_reasoner(tmp_path / "blobs")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for file in (tmp_path / "blobs").iterdir():
        (snapshot / file.name).symlink_to(file)
    assert detect(snapshot, name="m").parts[0].size_bytes == 72
    (tmp_path / "blobs/model.safetensors").unlink()
    assert "model.safetensors is missing" in faults_of(snapshot)


@pytest.mark.model
def test_the_tiny_checkpoints_are_whole(tmp_path: Path) -> None:
    subprocess.run([sys.executable, MAKE_TINY, "all", "--out", tmp_path], check=True, timeout=120, capture_output=True)
    checkpoints = {checkpoint.family: checkpoint for checkpoint in discover(tmp_path)}
    generator, older_reasoner, reasoner = (checkpoints[name] for name in ("predict2.5", "reason1", "reason2"))
    assert checkpoints["transfer2.5"].controls == ("edge", "vis", "depth", "seg")
    assert (generator.family, [part.name for part in generator.parts]) == (
        "predict2.5",
        ["text_encoder", "transformer", "tokenizer"],
    )
    assert (older_reasoner.family, older_reasoner.context_tokens) == ("reason1", 128_000)
    assert (reasoner.family, [part.dtype for part in reasoner.parts]) == ("reason2", ["bfloat16"])
