"""What no plan finds room for is told before anything is loaded."""

from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.errors import DoesNotFit
from cosmos_handler.messages.machine import MemoryWish
from tests.conftest import setup_of

pytestmark = pytest.mark.model

LOADERS = ("cosmos_handler.worker.loaded.load_part", "cosmos_handler.worker.guarding.load_guardrail")


class Touched(Exception):
    """A part was to be loaded."""


@pytest.fixture(autouse=True)
def loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    def touch(*_: Any) -> None:
        raise Touched

    for loader in LOADERS:
        monkeypatch.setattr(loader, touch)


def begin(folder: Path, said: list[Any], **wish: Any) -> None:
    from cosmos_handler.worker.session import Session

    Session(setup_of(folder).model_copy(update={"memory": MemoryWish(**wish)}), send=said.append)


def test_with_room_the_first_part_is_loaded(tiny_models: Path) -> None:
    """Or the tests below would watch a door that nobody uses."""
    with pytest.raises(Touched):
        begin(tiny_models, [])


@pytest.mark.parametrize("name", ["predict2.5", "reason2"])
@pytest.mark.parametrize(
    "wish",
    [
        {"device_bytes": 1024},
        {"device_bytes": 1024, "host_bytes": 1024},
        {"device_bytes": 1024, "offload": "none"},
        {"device_bytes": 2**14, "host_bytes": 0},
    ],
)
def test_without_room_none_is(tiny_models: Path, name: str, wish: dict[str, Any]) -> None:
    said: list[Any] = []
    with pytest.raises(DoesNotFit) as caught:
        begin(tiny_models / name, said, **wish)
    assert said == []
    line, *table = str(caught.value).splitlines()
    assert line.startswith(f"{name}: it takes at least ")
    assert line.endswith("whatever is asked for")
    assert "placement" in table[0]


def test_a_second_model_without_room_is_told_before_the_first_is_loaded(tiny_models: Path) -> None:
    """Sorted by name, predict2.5 would be loaded first."""
    with pytest.raises(DoesNotFit, match=r"^reason2: "):
        begin(tiny_models, [], device_bytes=1024)
