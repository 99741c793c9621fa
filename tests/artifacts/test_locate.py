"""Where the model lies: a folder, the hub's cache, or a hub; and what each failure tells the person who deploys."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.assembled import assembled
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.elsewhere import Elsewhere
from cosmos_handler.artifacts.locate import locate
from cosmos_handler.artifacts.repositories import not_served
from cosmos_handler.artifacts.source import Located, ModelSource
from cosmos_handler.errors import CheckpointError
from tests.artifacts.autoregressive import write_t5
from tests.artifacts.hub import COMMIT, Hub, Refusal, commit_of, serving
from tests.artifacts.miniature import write_generator, write_json, write_reasoner

pytestmark = pytest.mark.usefixtures("own_environment")

MODEL_ID = "nvidia/Cosmos-Reason2-2B"
TOKEN = "hf_sEcReT"
REVISION = "diffusers/base/post-trained"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with a complete Reason2 repository, and NVIDIA's own files beside it."""
    folder = write_reasoner(tmp_path / "repository")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files |= {"model.pt": b"native", "pytorch_model.bin": b"pickled", "README.md": b"hello", "sub/more.json": b"{}"}
    with serving(Hub(MODEL_ID, REVISION, files)) as hub:
        yield hub


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def hub_source(cache: Path, **changes: Any) -> ModelSource:
    values: dict[str, Any] = {
        "folder": None,
        "hub_model_id": MODEL_ID,
        "hub_revision": REVISION,
        "token": TOKEN,
        "offline": False,
        "cache_dir": cache,
    }
    return ModelSource(**(values | changes))


def fault_of(source: ModelSource) -> str:
    with pytest.raises(CheckpointError) as caught:
        locate(source)
    error: BaseException | None = caught.value
    while error is not None:  # a log prints the whole chain
        assert TOKEN not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return str(caught.value)


def cached_snapshot(cache: Path, revision: str = "main") -> Path:
    """A hub cache as the library leaves it, with a complete checkpoint and none of its lists."""
    repository = cache / "models--nvidia--Cosmos-Reason2-2B"
    ref = repository / "refs" / revision
    ref.parent.mkdir(parents=True)
    ref.write_text(COMMIT)
    return write_reasoner(repository / "snapshots" / COMMIT)


def test_the_token_is_never_shown(cache: Path) -> None:
    assert TOKEN not in repr(hub_source(cache))


def test_without_an_id_the_folder_is_the_model(tmp_path: Path, cache: Path) -> None:
    source = hub_source(cache, folder=tmp_path, hub_model_id=None)
    assert locate(source) == Located(folder=tmp_path, revision=None, name=None)


def test_an_absolute_path_as_the_id_is_used_as_it_is(tmp_path: Path, cache: Path) -> None:
    source = hub_source(cache, hub_model_id=str(tmp_path), hub_revision=None)
    assert locate(source) == Located(folder=tmp_path, revision=None, name=None)
    gone = hub_source(cache, hub_model_id=str(tmp_path / "none"), hub_revision=None)
    assert fault_of(gone) == f"HF_MODEL_ID is {tmp_path}/none, but there is no such folder"
    assert "HF_MODEL_REVISION cannot apply" in fault_of(hub_source(cache, hub_model_id=str(tmp_path)))


def test_offline_takes_what_the_cache_holds(cache: Path) -> None:
    snapshot = cached_snapshot(cache, REVISION)
    located = locate(hub_source(cache, offline=True))
    assert located == Located(snapshot, COMMIT, "Cosmos-Reason2-2B", (MODEL_ID,))
    (found,) = discover(located.folder, revision=located.revision, name=located.name, aliases=located.aliases)
    assert (found.name, found.revision, found.aliases) == ("Cosmos-Reason2-2B", COMMIT, (MODEL_ID,))


def test_without_a_revision_it_is_the_main_branch(cache: Path) -> None:
    snapshot = cached_snapshot(cache, "main")
    assert locate(hub_source(cache, offline=True, hub_revision=None)).folder == snapshot


@pytest.mark.parametrize("revision", ["other", COMMIT.replace("0", "f")])
def test_offline_without_the_revision_in_the_cache_is_told(cache: Path, revision: str) -> None:
    cached_snapshot(cache)
    message = fault_of(hub_source(cache, offline=True, hub_revision=revision))
    assert message.startswith(f"{MODEL_ID} (revision {revision}) is not, or not wholly, in the hub's cache")
    assert "HF_HUB_OFFLINE" in message


def test_what_is_needed_is_fetched_with_revision_and_token(
    hub: Hub, cache: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    located = locate(hub_source(cache, endpoint=hub.endpoint))
    assert capfd.readouterr() == ("", "")  # no bars
    lines = [record.message for record in caplog.records if record.name.endswith("download_log")]
    assert any("Fetching" in line and "0%" in line for line in lines)  # progress, as lines of the log
    assert not any("\r" in line for line in lines)
    assert (located.revision, located.folder.name, located.name) == (COMMIT, COMMIT, "Cosmos-Reason2-2B")
    assert located.folder.is_relative_to(cache)
    assert ("GET", f"/api/models/{MODEL_ID}/revision/{REVISION}", f"Bearer {TOKEN}") in hub.requests
    assert {token for _, _, token in hub.requests} == {f"Bearer {TOKEN}"}
    wanted = set(hub.files) - {"model.pt", "pytorch_model.bin", "README.md"}
    assert {str(path.relative_to(located.folder)) for path in located.folder.rglob("*.*")} == wanted
    assert hub.downloaded() <= wanted
    assert discover(located.folder)[0].parts[0].size_bytes == 72

    # Fetched once, it needs the network no more; one file less, and that is told.
    assert locate(hub_source(cache, offline=True)).folder == located.folder
    (located.folder / "tokenizer.json").unlink()
    assert "is not, or not wholly, in the hub's cache" in fault_of(hub_source(cache, offline=True))


def test_a_hub_that_is_away_is_no_matter_when_the_cache_is_whole(hub: Hub, cache: Path) -> None:
    first = locate(hub_source(cache, endpoint=hub.endpoint))
    hub.refusals["/"] = Refusal(503)
    assert locate(hub_source(cache, endpoint=hub.endpoint)) == first


def test_a_repository_without_weights_is_told(hub: Hub, cache: Path) -> None:
    hub.files = {"config.json": b"{}", "model.bin": b"x"}
    message = fault_of(hub_source(cache, endpoint=hub.endpoint))
    assert "holds no weights: neither safetensors nor .pt files of NVIDIA's own" in message


NATIVE = {
    name: name.encode()
    for name in (
        "base/post-trained/81_ema_bf16.pt",
        "base/pre-trained/d2_ema_bf16.pt",
        "base/distilled/57_ema_bf16.pt",
        "auto/multiview/52_ema_bf16.pt",
        "robot/action-cond/38_ema_bf16.pt",
        "tokenizer.pth",
        "config.json",
    )
}


@pytest.mark.parametrize(
    ("checkpoint", "fetched"),
    [
        (None, "base/post-trained/81_ema_bf16.pt"),
        ("base/pre-trained", "base/pre-trained/d2_ema_bf16.pt"),
        ("base/pre-trained/d2_ema_bf16.pt", "base/pre-trained/d2_ema_bf16.pt"),
    ],
)
def test_of_nvidias_own_files_only_the_one_that_is_served_is_fetched(
    hub: Hub, cache: Path, checkpoint: str | None, fetched: str
) -> None:
    hub.files = NATIVE
    source = hub_source(cache, endpoint=hub.endpoint, checkpoint=checkpoint)
    located = locate(source)
    assert hub.downloaded() == {"config.json", "tokenizer.pth", fetched}
    assert (located.folder / fetched).is_file()
    assert located.revision == COMMIT
    assert locate(replace(source, offline=True)) == located


def test_main_may_hold_other_safetensors_beside_nvidias_own_files(tmp_path: Path, cache: Path) -> None:
    model_id = "nvidia/Cosmos-Predict2.5-2B"
    with serving(Hub(model_id, "main", NATIVE | {"extra/more.safetensors": b"x"})) as hub:
        located = locate(hub_source(cache, hub_model_id=model_id, hub_revision="main", endpoint=hub.endpoint))
        assert (located.folder / "base/post-trained/81_ema_bf16.pt").is_file()
        assert len([name for name in hub.downloaded() if name.endswith(".pt")]) == 1


def test_a_choice_where_a_repository_holds_none_of_nvidias_own_is_told(hub: Hub, cache: Path) -> None:
    hub.files = {name: content for name, content in hub.files.items() if not name.endswith(".pt")}
    located = locate(hub_source(cache, endpoint=hub.endpoint, checkpoint="base/pre-trained"))
    with pytest.raises(CheckpointError, match="applies to checkpoints in NVIDIA's own form, and there is none"):
        discover(located.folder, elsewhere=Elsewhere(chosen="base/pre-trained"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Cosmos-1.0-Diffusion-7B-Text2World", "Cosmos 1.0 or Predict1"),
        ("Cosmos-Predict1-7B-Video2World", "Cosmos 1.0 or Predict1"),
        ("Cosmos-Predict1-14B-Text2World", "Cosmos 1.0 or Predict1"),
        ("Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p", "the diffusion decoder of Cosmos Autoregressive alone"),
        ("Cosmos-Predict2-2B-Multiview", "a multiview Cosmos Predict2"),
        ("Cosmos-Predict2-2B-Sample-Action-Conditioned", "an action-conditioned Cosmos Predict2"),
        ("Cosmos-Predict2-14B-Video2World", "Cosmos Predict2"),
        ("Cosmos-Transfer1-7B", "Cosmos Transfer1"),
        ("Cosmos-Policy-LIBERO-Predict2-2B", "Cosmos Policy"),
        ("Cosmos-Embed1-336p", "Cosmos Embed1"),
        ("Cosmos-Reason1-7B-Reward", "Cosmos Reason1 Reward"),
        ("Cosmos3-Nano-Policy-DROID", "a Cosmos 3 Policy"),
        ("Cosmos3-Edge", "Cosmos 3 Edge"),
        ("Cosmos3-Super-Text2Image-4Step", "a distilled Cosmos 3"),
        ("Cosmos3-Nano-Sim-Auto", "a multiview or simulating Cosmos 3"),
        ("Cosmos-Tokenize1-CV8x8x8-720p", "a Cosmos tokenizer alone"),
        ("Cosmos-UpsamplePrompt1-12B-Transfer", "a Cosmos prompt upsampler alone"),
        ("Cosmos-1.0-Guardrail", "the Cosmos guardrails alone"),
    ],
)
def test_models_that_are_not_served_are_refused_before_anything_is_fetched(cache: Path, name: str, said: str) -> None:
    message = fault_of(hub_source(cache, hub_model_id=f"nvidia/{name}", endpoint="http://127.0.0.1:1"))
    assert message.startswith(f"nvidia/{name} is {said}, which is not supported yet; served are Cosmos Predict2.5")


@pytest.mark.parametrize(
    "name",
    ["Cosmos-Predict2.5-2B", "Cosmos-Predict2.5-14B", "Cosmos-Transfer2.5-2B", "Cosmos-Reason1-7B", "Cosmos-Reason2-8B",
     "Cosmos3-Nano", "Cosmos3-Super", "Cosmos3-Super-Image2Video", "Cosmos3-Nano-Reasoner",
     "Cosmos-Predict1-4B", "Cosmos-Predict1-5B-Video2World", "Cosmos-1.0-Autoregressive-12B"],
)  # fmt: skip
def test_models_that_are_served_are_not(name: str) -> None:
    assert not_served(f"nvidia/{name}") is None


def test_several_files_to_choose_from_are_told_before_any_is_fetched(hub: Hub, cache: Path) -> None:
    hub.files = {"a.pt": b"x", "b.pt": b"x"}
    message = fault_of(hub_source(cache, endpoint=hub.endpoint))
    assert (
        f"{MODEL_ID} (revision {REVISION}) holds several checkpoints side by side: choose with COSMOS_CHECKPO"
        in message
    )
    message = fault_of(hub_source(cache, endpoint=hub.endpoint, checkpoint="c.pt"))
    assert "COSMOS_CHECKPOINT='c.pt' is none of the checkpoints in" in message
    assert hub.downloaded() == set()


@pytest.mark.parametrize("size", ["2B", "14B"])
def test_a_bare_id_of_predict_is_the_post_trained_diffusers_form(tmp_path: Path, cache: Path, size: str) -> None:
    folder = write_generator(tmp_path / "repository")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    model_id = f"nvidia/Cosmos-Predict2.5-{size}"
    branches = {"diffusers/base/post-trained": files, "mine": files}
    with serving(Hub(model_id, "main", NATIVE, branches)) as hub:
        source = hub_source(cache, hub_model_id=model_id, hub_revision=None, endpoint=hub.endpoint)
        located = locate(source)
        assert located.revision == commit_of("diffusers/base/post-trained")
        assert discover(located.folder)[0].family == "predict2.5"
        assert hub.downloaded() == set()  # nothing of the main branch
        assert locate(replace(source, hub_revision="mine")).revision == commit_of("mine")
        # A choice among NVIDIA's own files means the branch that holds them.
        native = locate(replace(source, checkpoint="base/pre-trained"))
        assert hub.downloaded() == {"config.json", "tokenizer.pth", "base/pre-trained/d2_ema_bf16.pt"}
        assert native.revision == COMMIT


def transfer_branches(tmp_path: Path) -> dict[str, dict[str, bytes]]:
    """What the hub holds of Transfer2.5 in diffusers form: a pipeline, and a branch of the repository a control."""
    folder = write_generator(tmp_path / "repository")
    change = json.loads((folder / "model_index.json").read_text()) | {"_class_name": "Cosmos2_5_TransferPipeline"}
    write_json(folder / "model_index.json", change)
    config = json.loads((folder / "transformer/config.json").read_text())
    sizes = {"controlnet_block_every_n": 7, "num_attention_heads": 16}
    write_json(folder / "transformer/config.json", config | sizes)
    pipeline = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    branch = {
        "config.json": json.dumps({"_class_name": "CosmosControlNetModel"}).encode(),
        "diffusion_pytorch_model.safetensors": (folder / "vae/diffusion_pytorch_model.safetensors").read_bytes(),
    }
    hints = {f"diffusers/controlnet/general/{hint}": branch for hint in ("edge", "blur", "depth", "seg")}
    return {"diffusers/general": pipeline, **hints, "diffusers/controlnet/auto": branch}


def test_a_bare_id_of_transfer_is_the_pipeline_and_a_branch_for_each_control(tmp_path: Path, cache: Path) -> None:
    model_id = "nvidia/Cosmos-Transfer2.5-2B"
    with serving(Hub(model_id, "main", NATIVE, transfer_branches(tmp_path))) as hub:
        source = hub_source(cache, hub_model_id=model_id, hub_revision=None, endpoint=hub.endpoint)
        located = locate(source)
        (found,) = discover(located.folder, revision=located.revision, name=located.name)
        assert (found.family, found.controls) == ("transfer2.5", ("edge", "vis", "depth", "seg"))
        assert (found.name, found.revision) == ("Cosmos-Transfer2.5-2B", commit_of("diffusers/general"))
        assert hub.downloaded() == hub.downloaded_of(commit_of("diffusers/controlnet/auto")) == set()
        assert locate(replace(source, offline=True)) == located
        assert locate(replace(source, hub_revision="diffusers/general")) == located


def test_a_control_branch_that_the_hub_lacks_is_named(tmp_path: Path, cache: Path) -> None:
    branches = transfer_branches(tmp_path)
    del branches["diffusers/controlnet/general/seg"]
    model_id = "nvidia/Cosmos-Transfer2.5-2B"
    with serving(Hub(model_id, "main", NATIVE, branches)) as hub:
        message = fault_of(hub_source(cache, hub_model_id=model_id, hub_revision=None, endpoint=hub.endpoint))
    assert message.startswith(f"{model_id} (revision diffusers/controlnet/general/seg) cannot be fetched")


def autoregressive_hub(tmp_path: Path, model: str, start: str) -> Hub:
    """What the hub holds of an autoregressive model that reads text, and of all that goes with it."""
    programs = {"encoder.jit": b"e", "decoder.jit": b"d", "autoencoder.jit": b"a", "README.md": b"r"}
    write_t5(tmp_path / "text_encoder", tmp_path / "tokenizer")
    others = ("text_encoder/config.json", "text_encoder/model.safetensors", "tokenizer/tokenizer.json")
    text = {name: (tmp_path / name).read_bytes() for name in others}
    guardrail = {"guardrail/video_content_safety_filter/safety_filter.pt": b"g"}
    tokenizers = ("Tokenize1-DV8x16x16-720p", "Tokenize1-CV8x8x8-720p")
    decoder = "Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p"
    if start == "Cosmos-1.0-":
        tokenizers = ("Tokenizer-DV8x16x16", "Tokenizer-CV8x8x8")
        decoder = "Diffusion-7B-Decoder-DV8x16x16ToCV8x8x8"
    return Hub(
        model,
        "main",
        {"model.pt": b"m", "config.json": b"{}", **guardrail},
        beside=[
            Hub(f"nvidia/{start}{tokenizers[0]}", "main", programs),
            Hub(f"nvidia/{start}{tokenizers[1]}", "main", {**programs, "mean_std.pt": b"s"}),
            Hub(f"nvidia/{start}{decoder}", "main", {"model.pt": b"w", "aux_vars.pt": b"v", **guardrail}),
            Hub(
                "nvidia/Cosmos-1.0-Diffusion-7B-Text2World", "main", {**text, "model.pt": b"x", "vae/config.json": b""}
            ),
        ],
    )


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("nvidia/Cosmos-Predict1-5B-Video2World", "Cosmos-"),
        ("nvidia/Cosmos-1.0-Autoregressive-13B-Video2World", "Cosmos-1.0-"),
    ],
)
def test_a_bare_id_of_an_autoregressive_model_is_that_and_all_that_goes_with_it(
    tmp_path: Path, cache: Path, model: str, start: str
) -> None:
    with serving(autoregressive_hub(tmp_path, model, start)) as hub:
        source = hub_source(cache, hub_model_id=model, hub_revision=None, endpoint=hub.endpoint)
        located = locate(source)
        assert (located.revision, located.name) == (COMMIT, model.removeprefix("nvidia/"))
        links = {
            path.name: {file.name for file in path.iterdir()} for path in located.folder.iterdir() if path.is_dir()
        }
        assert links == {
            "tokenizer": {"encoder.jit", "decoder.jit"},
            "decoder_tokenizer": {"encoder.jit", "decoder.jit", "mean_std.pt"},
            "diffusion_decoder": {"model.pt", "aux_vars.pt"},
            "text_encoder": {"config.json", "model.safetensors"},
            "text_tokenizer": {"tokenizer.json"},
        }
        assert (located.folder / "diffusion_decoder/model.pt").read_bytes() == b"w"
        assert hub.downloaded() == {"model.pt", "config.json"}
        text = hub.beside[-1].model_id
        assert hub.downloaded_of(COMMIT, text) == {
            "text_encoder/config.json", "text_encoder/model.safetensors", "tokenizer/tokenizer.json"
        }  # fmt: skip
        assert locate(replace(source, offline=True)) == located


def test_a_text_encoder_that_lies_elsewhere_is_not_fetched(tmp_path: Path, cache: Path) -> None:
    model = "nvidia/Cosmos-Predict1-5B-Video2World"
    with serving(autoregressive_hub(tmp_path, model, "Cosmos-")) as hub:
        source = hub_source(cache, hub_model_id=model, hub_revision=None, endpoint=hub.endpoint)
        fetched = {"tokenizer", "decoder_tokenizer", "diffusion_decoder"}
        located = locate(replace(source, text_encoders=(tmp_path / "none", tmp_path)))  # where the hub has it from
        assert {path.name for path in located.folder.iterdir() if path.is_dir()} == fetched
        assert hub.downloaded_of(COMMIT, hub.beside[-1].model_id) == set()
        (tmp_path / "tokenizer/tokenizer.json").unlink()
        located = locate(replace(source, text_encoders=(tmp_path / "none", tmp_path)))
        fetched |= {"text_encoder", "text_tokenizer"}
        assert {path.name for path in located.folder.iterdir() if path.is_dir()} == fetched


def test_a_revision_is_of_the_model_alone(tmp_path: Path, cache: Path) -> None:
    model = "nvidia/Cosmos-Predict1-4B"
    hub = autoregressive_hub(tmp_path, model, "Cosmos-")
    hub.branches = {"mine": {"model.pt": b"other", "config.json": b"{}"}}
    with serving(hub):
        located = locate(hub_source(cache, hub_model_id=model, hub_revision="mine", endpoint=hub.endpoint))
        assert located.revision == commit_of("mine")
        assert (located.folder / "model.pt").read_bytes() == b"other"
        assert (located.folder / "tokenizer/encoder.jit").is_file()
        assert not (located.folder / "text_encoder").exists()  # it reads no text
        assert hub.downloaded_of(COMMIT, hub.beside[-1].model_id) == set()


def test_what_goes_with_a_model_and_is_not_given_is_named(tmp_path: Path, cache: Path) -> None:
    model = "nvidia/Cosmos-Predict1-4B"
    with serving(autoregressive_hub(tmp_path, model, "Cosmos-")) as hub:
        source = hub_source(cache, hub_model_id=model, hub_revision=None, endpoint=hub.endpoint)
        hub.refusals["Decoder-DV8x16x16"] = Refusal(403, "GatedRepo")
        assert fault_of(source).startswith(
            "nvidia/Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p (revision main) is gated: its licence must be"
        )
        offline = fault_of(replace(source, offline=True))
        assert "Decoder-DV8x16x16ToCV8x8x8-720p (revision main) is not, or not wholly, in the hub's cache" in offline


def test_a_cache_that_may_only_be_read_is_no_matter(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / "snapshots" / name).mkdir(parents=True)
        (tmp_path / "snapshots" / name / "file").write_text(name)

    def refuse(*_: Any, **__: Any) -> None:  # tests may run as root, whom no mode keeps out
        raise PermissionError("read only")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        patch.setattr("cosmos_handler.artifacts.assembled._link", lambda *_: None)
        folder = assembled(tmp_path / "snapshots/one", {"sub/two": tmp_path / "snapshots/two"})
    assert not folder.is_relative_to(tmp_path / "assembled")
    folder.rmdir()
    folder = assembled(tmp_path / "snapshots/one", {"sub/two": tmp_path / "snapshots/two"})
    assert folder.parent == tmp_path / "assembled"
    assert ((folder / "file").read_text(), (folder / "sub/two/file").read_text()) == ("one", "two")


@pytest.mark.parametrize(
    ("where", "refusal", "said"),
    [
        ("/resolve/", Refusal(403, "GatedRepo"), "is gated: its licence must be accepted on the model's page by the"),
        ("/api/", Refusal(401, "GatedRepo"), "is gated: its licence must be accepted on the model's page by the"),
        (
            "/api/",
            Refusal(401, "RepoNotFound"),
            "is not on the hub, or it is private: check HF_MODEL_ID, and that the account of",
        ),
        ("/api/", Refusal(404, "RepoNotFound"), "is not on the hub, or it is private: check HF_MODEL_ID"),
        (
            "/revision/",
            Refusal(404, "RevisionNotFound"),
            "cannot be fetched: the hub has the model but no such branch, tag or commit",
        ),
        (
            "/api/",
            Refusal(401, "", "Invalid credentials in Authorization header"),
            "cannot be fetched: the hub does not accept HF_TOKEN",
        ),
        ("/api/", Refusal(403), "cannot be fetched: HF_TOKEN has no permission for it"),
        ("/resolve/", Refusal(403), "cannot be fetched: HF_TOKEN has no permission for it"),
        ("/revision/", Refusal(500), "cannot be fetched: the hub answered with status 500; try again later"),
        ("/resolve/", Refusal(200), "cannot be fetched: what answered is not a hub; check HF_ENDPOINT and the proxies"),
        ("/resolve/", Refusal(404, "EntryNotFound"), "cannot be fetched: the hub answered with status 404"),
    ],
)
def test_each_refusal_of_the_hub_says_what_to_do(
    hub: Hub, cache: Path, where: str, refusal: Refusal, said: str
) -> None:
    hub.refusals[where] = refusal
    message = fault_of(hub_source(cache, endpoint=hub.endpoint))
    assert message.startswith(f"{MODEL_ID} (revision {REVISION}) {said}")


def test_without_a_token_the_one_to_set_is_named(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    hub.refusals["/resolve/"] = Refusal(401, "GatedRepo")
    message = fault_of(hub_source(cache, endpoint=hub.endpoint, token=None))
    assert message.endswith("by an account whose token is given as HF_TOKEN")
    assert {token for _, _, token in hub.requests} == {None}


def test_an_answer_that_is_cut_short_is_told(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("Consistency check failed: file should be of size 9 but has size 3")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", fail)
    assert "could not be fetched whole (OSError): start again" in fault_of(hub_source(cache, endpoint=hub.endpoint))


def test_a_cache_that_cannot_be_written_is_told(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = fault_of(hub_source(tmp_path / "file", endpoint=hub.endpoint))
    assert "cannot be stored in the hub's cache on this machine (HF_HOME): " in message


def test_no_way_to_the_hub_is_told(hub: Hub, cache: Path) -> None:
    with serving(Hub(MODEL_ID, REVISION, {})) as closed:
        endpoint = closed.endpoint
    message = fault_of(hub_source(cache, endpoint=endpoint))
    assert "the hub cannot be reached (ConnectError)" in message
    assert "put its files into /opt/ml/model and unset HF_MODEL_ID" in message


@pytest.mark.parametrize("model_id", ["a b", "a/b/c", "../x", "x--y/z", ""])
def test_an_id_that_is_none_is_told(cache: Path, model_id: str) -> None:
    assert "HF_MODEL_ID must be owner/name, or the absolute path" in fault_of(hub_source(cache, hub_model_id=model_id))


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"{TOKEN} x", f"{TOKEN}é"])
def test_a_token_that_is_none_is_told_before_it_is_sent(cache: Path, token: str) -> None:
    assert fault_of(hub_source(cache, token=token)).startswith("HF_TOKEN holds blanks or other characters")


def test_importing_this_room_brings_in_neither_the_hub_nor_torch() -> None:
    code = (
        "import sys, cosmos_handler.artifacts.locate, cosmos_handler.artifacts.discover;"
        "print([name for name in ('huggingface_hub', 'httpx2', 'torch', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
