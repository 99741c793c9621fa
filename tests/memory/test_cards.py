"""The table of cards: plausible, complete, and found by the names that people use."""

import pytest

from cosmos_handler.memory.cards import CARDS, INSTANCES, find_card, find_instance, machine_of, typical_card


def test_every_rate_is_one_that_a_card_can_have() -> None:
    for key, card in CARDS.items():
        assert 10 <= card.attention_teraflops <= card.linear_teraflops <= 2000, key
        assert 5 <= card.link_gigabytes < card.memory_gigabytes_per_second, key
        assert card.memory_gigabytes >= 16, key


def test_every_instance_has_a_card_that_is_known() -> None:
    for name, instance in INSTANCES.items():
        assert instance.card in CARDS, name
        assert instance.num_cards in (1, 2, 4, 8), name
        assert instance.host_gibibytes >= 16, name


@pytest.mark.parametrize(
    ("name", "card", "num_cards", "host_gibibytes"),
    [
        ("ml.g4dn.xlarge", "t4", 1, 16),
        ("ml.g5.xlarge", "a10g", 1, 16),
        ("ml.g5.12xlarge", "a10g", 4, 192),
        ("g5.48xlarge", "a10g", 8, 768),
        ("ml.g6.2xlarge", "l4", 1, 32),
        ("ml.g6e.xlarge", "l40s", 1, 32),
        ("ml.g7e.2xlarge", "rtx-pro-6000", 1, 64),
        ("ml.p4d.24xlarge", "a100-40", 8, 1152),
        ("ml.p4de.24xlarge", "a100-80", 8, 1152),
        ("ml.p5.4xlarge", "h100", 1, 256),
        ("ml.p5en.48xlarge", "h200", 8, 2048),
        ("ML.P6-B200.48xlarge", "b200", 8, 2048),
    ],
)
def test_instances_by_name(name: str, card: str, num_cards: int, host_gibibytes: int) -> None:
    found = find_instance(name)
    assert (found.card, found.num_cards, found.host_gibibytes) == (card, num_cards, host_gibibytes)


@pytest.mark.parametrize("name", ["RTX 5090", "rtx_5090", "RTX-5090"])
def test_cards_however_they_are_spelled(name: str) -> None:
    assert find_card(name) is CARDS["rtx-5090"]


def test_names_that_are_none() -> None:
    with pytest.raises(KeyError):
        find_card("rtx 9999")
    with pytest.raises(KeyError):
        find_instance("ml.g5.100xlarge")


@pytest.mark.parametrize(("gigabytes", "name"), [(16, "a10g"), (24, "a10g"), (48, "l40s"), (80, "h100"), (500, "b200")])
def test_a_size_alone_stands_for_a_card(gigabytes: float, name: str) -> None:
    assert typical_card(gigabytes) is CARDS[name]


def test_plans_get_less_than_what_is_sold() -> None:
    machine = machine_of(CARDS["a10g"], device_bytes=24 * 10**9, host_bytes=16 * 2**30)
    assert 22 * 10**9 < machine.device_bytes < 23 * 10**9
    assert 11 * 10**9 < machine.host_bytes < 14 * 10**9
    assert machine_of(CARDS["a10g"], device_bytes=10**8, host_bytes=10**8).device_bytes == 0
