"""What the linters cannot say: the front is light, broad handlers are few, the one version is one."""

import re
import subprocess
import sys
import time
from pathlib import Path

from cosmos_handler import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cosmos_handler"


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_the_front_imports_nothing_heavy_and_adds_little_to_its_framework() -> None:
    code = (
        # In time of the processor, and as a ratio: what a busy or slow machine adds is not ours.
        "import time; began = time.process_time(); import fastapi, uvicorn; framework = time.process_time() - began; "
        "import cosmos_handler.main, sys; heavy = ('torch', 'transformers', 'diffusers', 'numpy', 'boto3'); "
        "print((time.process_time() - began) / framework, [name for name in heavy if name in sys.modules])"
    )
    ratios = []
    for _ in range(3):  # the best of three, because the first one may have to compile
        shown = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        ratio, _, modules = shown.partition(" ")
        assert modules.strip() == "[]"
        ratios.append(float(ratio))
    assert min(ratios) < 4


def test_broad_handlers_stand_in_the_worker_s_loop_and_around_guardrails_only() -> None:
    # The other one that the design allows is the app's last handler, which the framework catches for us.
    broad = [path.name for path in sources() if re.search(r"except (Base)?Exception\b(?! as group)", path.read_text())]
    cleanup = "except BaseException as error:\n            permit.close()"  # undoes and raises again
    assert cleanup in (PACKAGE / "engine" / "engine.py").read_text()
    assert broad == ["engine.py", "guarding.py", "loop.py"]
    # A guardrail that raises must block, and its traceback may repeat the prompt: it goes no further up.
    assert (PACKAGE / "worker" / "guarding.py").read_text().count("except Exception") == 1


def test_every_module_says_what_it_is() -> None:
    for path in sources():
        assert path.read_text().startswith('"""'), path


def test_files_are_small() -> None:
    long = {path.name: lines for path in sources() if (lines := len(path.read_text().splitlines())) > 300}
    assert not long


def test_the_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first.group(1) == __version__


def test_locks_hold_pins_and_hashes_and_no_addresses() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock", "requirements-deploy.lock"):
        text = (ROOT / lock).read_text()
        assert not re.search(r"https?://|index-url|find-links", text)
        pins = re.findall(r"^[a-z0-9][\w.-]*==", text, re.MULTILINE)
        assert len(pins) > 40
        assert text.count("--hash=sha256:") >= len(pins)


def test_serve_help_is_the_manual() -> None:
    began = time.perf_counter()
    shown = subprocess.run([ROOT / "serve", "--help"], capture_output=True, text=True, check=True).stdout
    assert "COSMOS_MODEL_DIR" in shown
    assert time.perf_counter() - began < 30
