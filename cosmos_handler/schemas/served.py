"""A loaded model as far as requests are concerned."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Served:
    """One model that requests can name, by its name or an alias, and the tasks it can do, in its family's own words."""

    name: str
    aliases: tuple[str, ...]
    family: str
    tasks: tuple[str, ...]

    def answers_to(self, name: str) -> bool:
        """Whether a request that says this name means this model."""
        return name == self.name or name in self.aliases
