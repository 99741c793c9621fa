"""Where it would run: a card or an instance type by name, or a card of which only the size is known."""

from dataclasses import dataclass

from cosmos_handler.memory.cards import CARDS, Card, find_card, find_instance, machine_of, typical_card
from cosmos_handler.messages.machine import Machine

HOST_GIGABYTES = 64.0  # of a host of which nothing is said
_GIGA = 10**9


@dataclass(frozen=True)
class Place:
    """Where it would run. card_gigabytes, host_gigabytes: all there is. note: what is assumed."""

    machine: Machine
    card: Card
    card_gigabytes: float
    host_gigabytes: float
    note: str

    def heading(self) -> str:
        """In a line."""
        planned, host = self.machine.device_bytes / _GIGA, self.machine.host_bytes / _GIGA
        return (
            f"{self.machine.name}: {self.card_gigabytes:g} GB, planned with {planned:.1f} GB of it; "
            f"host {self.host_gigabytes:.0f} GB, {host:.1f} GB of it for weights{self.note}"
        )


def place_of(
    *, card: str | None, instance: str | None, device_gigabytes: float | None, host_gigabytes: float | None
) -> Place:
    """One of the first three says where; sizes that are given come before those that are known. Raises KeyError."""
    note = ""
    if instance is not None:
        kind = find_instance(instance)
        found = CARDS[kind.card]
        name = f"{instance} with {kind.num_cards} x {found.name}"
        host = host_gigabytes or kind.host_gibibytes * 2**30 / _GIGA
        if kind.num_cards > 1:
            note = "; a process for each card, which share one copy in host memory"
    else:
        host = host_gigabytes or HOST_GIGABYTES
        if card is not None:
            found = find_card(card)
            name = found.name
        elif device_gigabytes is not None:
            found = typical_card(device_gigabytes)
            name, note = "a card", f"; as fast as {found.name} on a usual host"
        else:
            raise KeyError("")
    gigabytes = device_gigabytes or found.memory_gigabytes
    machine = machine_of(found, device_bytes=int(gigabytes * _GIGA), host_bytes=int(host * _GIGA), name=name)
    return Place(machine, found, gigabytes, host, note)
