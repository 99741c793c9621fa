"""The recipe of the image, checked without building it."""

import importlib.machinery
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

from cosmos_handler import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "scripts/build_image"
SAGEMAKER = "com.amazonaws.sagemaker."


def read_instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: (word, the rest), continued lines joined, comments left out."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


INSTRUCTIONS = read_instructions()
COPIED = [source for word, rest in INSTRUCTIONS if word == "COPY" for source in rest.split()[:-1]]


def pairs(word: str) -> dict[str, str]:
    """All name=value pairs of LABEL or ENV."""
    found = [pair.partition("=") for each, rest in INSTRUCTIONS if each == word for pair in shlex.split(rest)]
    return {name: value for name, _, value in found}


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps `path` from the build; as Docker reads it, the last pattern wins, parents count."""
    spellings = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    ignored = False
    for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(pattern, spelling) for spelling in spellings):
            ignored = not line.startswith("!")
    return ignored


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("build_image", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def run_script(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=30)


def test_help_names_the_options_and_the_version() -> None:
    result = run_script("--help")
    assert result.returncode == 0, result.stderr
    assert f"cosmos-handler:{__version__}" in result.stdout
    for option in ("--tag", "--storage-root", "--model-dir", "--no-smoke", "--rm"):
        assert option in result.stdout


def test_a_model_folder_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    result = run_script("--model-dir", str(tmp_path / "nothing"), "--storage-root", str(tmp_path / "storage"))
    assert result.returncode == 2
    assert "is not a folder" in result.stderr
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_exists_and_reaches_the_build(source: str) -> None:
    assert (REPOSITORY / source).exists()
    assert not is_ignored(source)


def test_the_whole_server_is_copied() -> None:
    assert {"serve", "cosmos_handler", "requirements.lock", "LICENSE", "README.md", "pyproject.toml"} == set(COPIED)
    assert (REPOSITORY / "serve").stat().st_mode & 0o111 == 0o111
    assert not is_ignored("cosmos_handler/worker/__main__.py")


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "tests/scripts/test_build_image.py",
        "model_artifacts/tiny/model_index.json",
        "demo_output/video.mp4",
        "requirements-dev.lock",
        "cosmos_handler/__pycache__/main.cpython-311.pyc",
        "cosmos_handler/api/__pycache__/app.cpython-311.pyc",
    ],
)
def test_the_rest_stays_out_of_the_build(path: str) -> None:
    assert is_ignored(path)


def test_the_nvidia_runtime_gives_the_container_its_gpus() -> None:
    environment = pairs("ENV")
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert "NVIDIA_REQUIRE_CUDA" not in environment  # it would refuse the 535 drivers of SageMaker's default hosts


def test_libraries_are_pinned_and_lie_below_the_code() -> None:
    install = next(index for index, (word, rest) in enumerate(INSTRUCTIONS) if word == "RUN" and "pip install" in rest)
    code = next(index for index, (word, rest) in enumerate(INSTRUCTIONS) if word == "COPY" and "serve" in rest)
    assert install < code
    for option in ("--require-hashes", "--no-deps", "--no-cache-dir", "/opt/cosmos/requirements.lock"):
        assert option in INSTRUCTIONS[install][1].split()


def test_the_recipe_names_no_host() -> None:
    for name in ("Dockerfile", ".dockerignore", "scripts/build_image"):
        assert not re.findall(r"\w+://[a-z0-9]\S*", (REPOSITORY / name).read_text(encoding="utf-8")), name


def test_pip_settings_of_the_machine_reach_the_build(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://one.invalid/simple\nretries = 7\nno-input = true\n", "utf-8")
    for name in [name for name in script.os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "https://two.invalid/simple")  # the environment wins over the file
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///srv/packages https://more.invalid/simple")
    monkeypatch.setenv("PIP_CERT", str(SCRIPT))  # any file there is
    options = script.secret_options(tmp_path)
    assert options == ["--secret", f"id=pip.conf,src={config}", "--secret", f"id=ca-certificates,src={SCRIPT}"]
    settings = config.read_text("utf-8").splitlines()
    assert settings[0] == "[global]"
    assert "index-url = https://two.invalid/simple" in settings
    assert "extra-index-url = https://more.invalid/simple" in settings
    assert not [line for line in settings if line.startswith(("cert", "no-input"))]


def test_only_debian_sources_of_the_release_make_the_base(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = """\
Debian http://mirror.invalid/debian/ bookworm main
Debian http://mirror.invalid/debian/ bookworm main
Debian http://mirror.invalid/debian/ bookworm contrib
Debian http://mirror.invalid/security/ bookworm-security main
Debian http://mirror.invalid/debian/ trixie main
Somebody https://packages.invalid/ bookworm main
Debian cdrom:disc/ bookworm main"""
    monkeypatch.setattr(script, "read", lambda *_: listing)
    assert script.debian_sources() == [
        ("http://mirror.invalid/debian/", "bookworm"),
        ("http://mirror.invalid/security/", "bookworm-security"),
    ]
