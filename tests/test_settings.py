"""The environment becomes one value, or a list of everything that is wrong with it."""

from pathlib import Path
from typing import get_args

import pytest

from cosmos_handler.engine.gathering import Gathering
from cosmos_handler.errors import SettingsError
from cosmos_handler.memory.sheet import GROUPS
from cosmos_handler.messages.machine import MemoryWish, Offload, Placement
from cosmos_handler.settings import VARIABLES, manual, read_settings
from cosmos_handler.wiring import engine_options, gathering, memory_wish


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    return caught.value.faults


def test_with_nothing_set_it_serves_what_sagemaker_mounts() -> None:
    settings = read_settings({})
    mounts = (Path("/opt/ml/model"), Path("/opt/ml/additional-model-data-sources/model"))
    source = engine_options(settings, owner="").source
    assert (source.folder, source.hub_model_id, source.mounts) == (None, None, mounts)
    assert settings.port == 8080
    assert settings.host == "0.0.0.0"  # noqa: S104


def test_sagemakers_and_the_hubs_names() -> None:
    settings = read_settings(
        {"SAGEMAKER_BIND_TO_PORT": "9001", "HF_MODEL_ID": "a/b", "HF_MODEL_REVISION": "main", "HF_HUB_OFFLINE": "TRUE"}
    )
    models = settings.models
    assert (settings.port, models.hub_model_id, models.hub_revision, models.hub_offline) == (
        9001,
        "a/b",
        "main",
        True,
    )


def test_every_fault_is_told_at_once() -> None:
    found = faults({"SAGEMAKER_BIND_TO_PORT": "http", "COSMOS_MAX_JOBS": "0", "COSMOS_MODLE_DIR": "/x"})
    assert len(found) == 3
    assert any("did you mean COSMOS_MODEL_DIR?" in fault for fault in found)
    assert any("from 1 to 65535" in fault for fault in found)


def test_two_places_for_the_model_are_one_too_many() -> None:
    assert faults({"COSMOS_MODEL_DIR": "/x", "HF_MODEL_ID": "a/b", "COSMOS_MAX_JOBS": "0"}) == (
        "COSMOS_MAX_JOBS='0' is not a whole number from 1 to 10000",
        "COSMOS_MODEL_DIR and HF_MODEL_ID both say where the model is: unset one of them",
    )
    (fault,) = faults({"HF_MODEL_REVISION": "main", "COSMOS_MODEL_DIR": "/x"})
    assert fault.startswith("HF_MODEL_REVISION is set, but HF_MODEL_ID is not")
    assert read_settings({"COSMOS_MODEL_DIR": "/x", "HF_MODEL_ID": ""}).models.model_dir == Path("/x")


@pytest.mark.parametrize("value", ["gpu", "0,0", "-1", "1.5", ","])
def test_devices_that_are_none(value: str) -> None:
    assert "COSMOS_DEVICES" in faults({"COSMOS_DEVICES": value})[0]


def test_devices() -> None:
    assert read_settings({"COSMOS_DEVICES": "0, 2"}).devices == ("0", "2")
    assert read_settings({"SM_NUM_GPUS": "2"}).devices == ("0", "1")
    assert read_settings({"SM_NUM_GPUS": "0"}).devices == ("cpu",)
    assert read_settings({"COSMOS_DEVICES": "cpu", "SM_NUM_GPUS": "2"}).devices == ("cpu",)


def test_guardrails_are_on_unless_they_are_switched_off_by_name() -> None:
    def wanted(**environ: str) -> tuple[str, ...]:
        return engine_options(read_settings(environ), owner="").guardrails.checks

    assert wanted() == ("blocklist", "text_classifier", "content_filter", "face_blur")
    assert wanted(COSMOS_GUARDRAILS="text") == ("blocklist", "text_classifier")
    assert wanted(COSMOS_GUARDRAILS="video") == ("content_filter", "face_blur")
    assert wanted(COSMOS_GUARDRAILS="off") == ()
    assert wanted(COSMOS_GUARDRAIL_BLOCKLIST="off") == ("text_classifier", "content_filter", "face_blur")
    assert wanted(COSMOS_GUARDRAIL_TEXT_CLASSIFIER="0", COSMOS_GUARDRAILS="text") == ("blocklist",)
    assert wanted(COSMOS_GUARDRAIL_CONTENT_FILTER="off", COSMOS_GUARDRAILS="video") == ("face_blur",)
    assert wanted(COSMOS_GUARDRAIL_FACE_BLUR="off", COSMOS_GUARDRAILS="video") == ("content_filter",)
    assert "is not off or text or video or all" in faults({"COSMOS_GUARDRAILS": "none"})[0]


def test_where_guardrails_are_looked_for() -> None:
    places = engine_options(read_settings({"COSMOS_GUARDRAIL_DIR": "/g"}), owner="").guardrails.places
    assert places == (Path("/g"), Path("/opt/ml/additional-model-data-sources/guardrails"))


def test_the_model_process_gets_no_credentials() -> None:
    environ = {"HF_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "x", "COSMOS_MAX_JOBS": "3", "PATH": "/bin"}
    settings = read_settings(environ)
    assert settings.child_environment["PATH"] == "/bin"
    assert settings.child_environment["HF_HUB_OFFLINE"] == "1"
    assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "COSMOS_MAX_JOBS"} & settings.child_environment.keys()
    assert "hf_secret" not in repr(settings)
    assert "hf_secret" not in repr(settings.models)
    source = engine_options(read_settings({"COSMOS_HUB_SECONDS": "7"}), owner="").source
    assert source.hub_seconds == 7


def test_the_manual_names_every_variable() -> None:
    text = manual()
    assert all(variable.name in text for variable in VARIABLES)


def test_where_the_parts_are_that_a_repository_lacks() -> None:
    named = {"COSMOS_TEXT_ENCODER_DIR": "/r", "COSMOS_VAE_PATH": "/v/tokenizer.pth", "COSMOS_CHECKPOINT": "base/x"}
    channels = Path("/opt/ml/additional-model-data-sources")
    found = engine_options(read_settings(named), owner="0a1b2c3d").elsewhere
    assert found.text_encoders == (Path("/r"), channels / "text_encoder")
    assert found.vaes == (Path("/v/tokenizer.pth"), channels / "vae")
    assert (found.chosen, engine_options(read_settings(named), owner="0a1b2c3d").source.checkpoint) == (
        "base/x",
        "base/x",
    )
    unset = engine_options(read_settings({}), owner="0a1b2c3d")
    assert unset.elsewhere.text_encoders == (channels / "text_encoder",)
    for options in (unset, engine_options(read_settings(named), owner="0a1b2c3d")):
        assert options.source.text_encoders == options.elsewhere.text_encoders


def test_where_media_may_come_from() -> None:
    named = {
        "COSMOS_MEDIA_HOSTS": "Media.Test, https://a.test,*.b.test,http://10.1.2.3,::1",
        "COSMOS_MEDIA_PORTS": "443, 8443",
        "COSMOS_MEDIA_NETWORKS": "10.1.0.0/16",
        "COSMOS_MEDIA_BUCKETS": "none",
        "COSMOS_MEDIA_DIR": "/usr",
        "COSMOS_MAX_MEDIA_BYTES": "2048",
        "COSMOS_FETCH_SECONDS": "7",
    }
    options = engine_options(read_settings(named), owner="0a1b2c3d")
    rules = options.fetching.rules
    assert rules.hosts == ("media.test", "a.test", "*.b.test", "http://10.1.2.3", "::1")
    assert (rules.ports, rules.networks, rules.buckets) == ((443, 8443), ("10.1.0.0/16",), ())
    assert (rules.folder, rules.fetch_seconds, options.media_limits.max_source_bytes) == ("/usr", 7, 2048)
    unset = engine_options(read_settings({}), owner="0a1b2c3d").fetching.rules
    assert (unset.hosts, unset.buckets, unset.folder, unset.proxy) == ((), ("*",), None, None)


def test_rules_that_are_none() -> None:
    named = {
        "COSMOS_MEDIA_HOSTS": "http://*",
        "COSMOS_MEDIA_PORTS": "0",
        "COSMOS_MEDIA_NETWORKS": "10.1.2.3/16",
        "COSMOS_MEDIA_BUCKETS": "A_B",
        "COSMOS_MEDIA_DIR": "here",
        "COSMOS_MEDIA_PROXY": "http://user:pass@proxy:3128",
        "COSMOS_MEDIA_CA_BUNDLE": "/no/such/file",
    }
    found = faults(named)
    assert sorted(fault.split("=")[0] for fault in found) == sorted(named)


def test_the_fetching_process_gets_the_role_s_credentials_and_no_others() -> None:
    environ = {
        "HF_TOKEN": "x",
        "AWS_REGION": "eu-west-1",
        "AWS_SESSION_TOKEN": "t",
        "HTTPS_PROXY": "p",
        "HOME": "/root",
    }
    expected = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_SESSION_TOKEN": "t", "HOME": "/root"}
    assert read_settings(environ).fetch_environment == expected


def test_secrets_are_known_and_in_no_fault() -> None:
    environ = {"COSMOS_API_KEY": "0123456789abcdef", "HF_TOKEN": "hf_x", "AWS_SESSION_TOKEN": "s", "MY_PASSWORD": "p"}
    settings = read_settings({**environ, "PATH": "/bin"})
    assert set(settings.secrets) == set(environ.values())
    assert settings.api_key == "0123456789abcdef"
    for wrong in ("short", "with a space in the middle", "ünïcödé-ünïcödé-ünïcödé"):
        (fault,) = faults({"COSMOS_API_KEY": wrong})
        assert wrong not in fault
        assert "16 to 512" in fault


def test_how_many_jobs_are_made_together() -> None:
    assert gathering(read_settings({})) == Gathering()
    named = {"COSMOS_MAX_BATCH_SIZE": "8", "COSMOS_REQUEST_WINDOW_SECONDS": "60"}
    assert gathering(read_settings(named)) == Gathering(max_batch_size=8, window_seconds=60)
    for wrong in ("0", "65", "many"):
        assert "is not a whole number from 1 to 64" in faults({"COSMOS_MAX_BATCH_SIZE": wrong})[0]


def test_bodies_that_could_never_come_in() -> None:
    for name in ("COSMOS_MAX_BODIES_BYTES", "COSMOS_MAX_SPOOL_BYTES"):
        assert f"{name} is less" in faults({"COSMOS_MAX_BODY_BYTES": "4096", name: "4095"})[0]


@pytest.mark.parametrize(
    ("environ", "is_there"),
    [
        ({}, False),
        ({"SAGEMAKER_BIND_TO_PORT": "8080"}, False),
        ({"SAGEMAKER_SAFE_PORT_RANGE": "23000-23999"}, True),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"}, True),
    ],
)
def test_where_sagemaker_started_it(environ: dict[str, str], is_there: bool) -> None:
    assert read_settings(environ).is_on_sagemaker is is_there


def test_memory_unless_it_is_named() -> None:
    memory = read_settings({}).memory
    assert (memory.offload, memory.placement, memory.device_bytes, memory.host_bytes) == ("auto", {}, None, None)
    assert (memory.text_cache_bytes, memory.request_window_seconds) == (2**30, None)
    assert memory_wish(memory) == MemoryWish()


def test_memory_by_name_and_what_the_model_process_is_told() -> None:
    named = {
        "COSMOS_OFFLOAD": "Text_Encoder",
        "COSMOS_PLACEMENT": "text_encoder=swapped, Transformer = streamed",
        "COSMOS_DEVICE_MEMORY_BYTES": "24GiB",
        "COSMOS_HOST_MEMORY_BYTES": "1.5 gb",
        "COSMOS_TEXT_CACHE_BYTES": "0",
        "COSMOS_REQUEST_WINDOW_SECONDS": "900",
    }
    settings = read_settings(named)
    wish = memory_wish(settings.memory)
    assert wish.offload == "text_encoder"
    assert wish.placement == {"text_encoder": "swapped", "transformer": "streamed"}
    assert (wish.device_bytes, wish.host_bytes, wish.text_cache_bytes) == (24 * 2**30, 1_500_000_000, 0)
    assert engine_options(settings, owner="").window_seconds == 900


def test_the_words_of_memory_are_those_of_the_model_process() -> None:
    for offload in get_args(Offload):
        assert memory_wish(read_settings({"COSMOS_OFFLOAD": offload}).memory).offload == offload
    for placement in get_args(Placement):
        told = memory_wish(read_settings({"COSMOS_PLACEMENT": f"transformer={placement}"}).memory).placement
        assert told == {"transformer": placement}
    for group in GROUPS:
        assert read_settings({"COSMOS_PLACEMENT": f"{group}=disk"}).memory.placement == {group: "disk"}
    assert "is not auto or none or" in faults({"COSMOS_OFFLOAD": "most"})[0]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text_encoder", "'text_encoder' is none"),
        ("text_encoder=swapped,", "pairs such as"),
        ("vae=swapped", "'vae' is none of prompt_upsampler"),
        ("transformer=ssd", "'ssd' is none of resident, swapped, streamed, disk"),
        ("tokenizer=streamed", "the tokenizer has no blocks to stream"),
        ("guardrails=streamed", "the guardrails has no blocks to stream"),
        ("transformer=disk,transformer=disk", "transformer has two"),
    ],
)
def test_placements_that_are_none(value: str, told: str) -> None:
    (fault,) = faults({"COSMOS_PLACEMENT": value})
    assert told in fault


@pytest.mark.parametrize(
    ("value", "size"),
    [("1024", 1024), ("24GB", 24 * 10**9), ("24gib", 24 * 2**30), ("500 MB", 5 * 10**8), ("0.5MiB", 2**19)],
)
def test_sizes(value: str, size: int) -> None:
    assert read_settings({"COSMOS_DEVICE_MEMORY_BYTES": value}).memory.device_bytes == size


@pytest.mark.parametrize("value", ["24G", "-1", "1e9", "1.5", "GiB", "0", "24 KB", "٣GB", "9999999GiB", "1" * 40])
def test_sizes_that_are_none(value: str) -> None:
    assert "COSMOS_HOST_MEMORY_BYTES" in faults({"COSMOS_HOST_MEMORY_BYTES": value})[0]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"SAGEMAKER_BATCH": "true"}, 3600),
        ({"SAGEMAKER_BATCH": "True"}, 3600),
        ({"SAGEMAKER_BATCH": "1"}, 3600),
        ({"SAGEMAKER_BATCH": "false"}, None),
        ({"SAGEMAKER_BATCH": ""}, None),
        ({"SAGEMAKER_BATCH": "true", "COSMOS_REQUEST_WINDOW_SECONDS": "60"}, 60),
        ({"SAGEMAKER_BATCH": "true", "COSMOS_REQUEST_WINDOW_SECONDS": "0"}, None),
        ({"COSMOS_REQUEST_WINDOW_SECONDS": "0"}, None),
    ],
)
def test_the_time_that_a_request_may_take(environ: dict[str, str], seconds: int | None) -> None:
    assert read_settings(environ).memory.request_window_seconds == seconds


@pytest.mark.parametrize("value", ["23000", "2-1", "0-5", "1-70000", "a-b", "23000-23999-1"])
def test_a_range_of_ports_that_is_none(value: str) -> None:
    with pytest.raises(SettingsError, match="SAGEMAKER_SAFE_PORT_RANGE"):
        read_settings({"SAGEMAKER_SAFE_PORT_RANGE": value})


def test_a_range_of_ports() -> None:
    assert read_settings({"SAGEMAKER_SAFE_PORT_RANGE": "23000-23999"}).safe_ports == (23000, 23999)
