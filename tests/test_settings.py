"""The environment becomes one value, or a list of everything that is wrong with it."""

from pathlib import Path

import pytest

from cosmos_handler.errors import SettingsError
from cosmos_handler.main import engine_options
from cosmos_handler.settings import VARIABLES, manual, read_settings


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    return caught.value.faults


def test_with_nothing_set_it_serves_what_sagemaker_mounts() -> None:
    settings = read_settings({})
    assert settings.model_dir == Path("/opt/ml/model")
    assert settings.port == 8080
    assert settings.host == "0.0.0.0"  # noqa: S104


def test_sagemakers_and_the_hubs_names() -> None:
    settings = read_settings(
        {"SAGEMAKER_BIND_TO_PORT": "9001", "HF_MODEL_ID": "a/b", "HF_MODEL_REVISION": "main", "HF_HUB_OFFLINE": "TRUE"}
    )
    assert (settings.port, settings.hub_model_id, settings.hub_revision, settings.hub_offline) == (
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


@pytest.mark.parametrize("value", ["gpu", "0,0", "-1", "1.5", ","])
def test_devices_that_are_none(value: str) -> None:
    assert "COSMOS_DEVICES" in faults({"COSMOS_DEVICES": value})[0]


def test_devices() -> None:
    assert read_settings({"COSMOS_DEVICES": "0, 2"}).devices == ("0", "2")
    assert read_settings({"SM_NUM_GPUS": "2"}).devices == ("0", "1")
    assert read_settings({"SM_NUM_GPUS": "0"}).devices == ("cpu",)
    assert read_settings({"COSMOS_DEVICES": "cpu", "SM_NUM_GPUS": "2"}).devices == ("cpu",)


def test_guardrails_that_do_not_exist_are_refused() -> None:
    assert "COSMOS_GUARDRAILS='all' is not off" in faults({"COSMOS_GUARDRAILS": "all"})[0]


def test_the_model_process_gets_no_credentials() -> None:
    environ = {"HF_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "x", "COSMOS_MAX_JOBS": "3", "PATH": "/bin"}
    settings = read_settings(environ)
    assert settings.child_environment["PATH"] == "/bin"
    assert settings.child_environment["HF_HUB_OFFLINE"] == "1"
    assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "COSMOS_MAX_JOBS"} & settings.child_environment.keys()
    assert "hf_secret" not in repr(settings)


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
    assert engine_options(read_settings({}), owner="0a1b2c3d").elsewhere.text_encoders == (channels / "text_encoder",)
