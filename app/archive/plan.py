"""Which photos of an archive belong to which shard. A plan only grows, so that a finished shard stays finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import OutputError


@dataclass(frozen=True, slots=True)
class Plan:
    """Attributes: what was asked, by name; the photos of each shard, by URL."""

    asked: dict[str, Any]
    shards: tuple[tuple[str, ...], ...] = ()

    @property
    def photos(self) -> int:
        """The number of photos."""
        return sum(map(len, self.shards))

    def check_same(self, asked: dict[str, Any], out: str) -> None:
        """Raise OutputError if the plan was made for something else."""
        names = [name for name in {**self.asked, **asked} if self.asked.get(name) != asked.get(name)]
        if names:
            was, now = (", ".join(f"{name} {source.get(name)}" for name in names) for source in (self.asked, asked))
            raise OutputError(f"{out} has results with {was}, not {now}; choose another folder")

    def extended(self, photos: Sequence[str], size: int) -> "Plan":
        """With further shards, of `size` photos at most, for the photos that are not planned yet."""
        planned = {photo for shard in self.shards for photo in shard}
        new = [photo for photo in photos if photo not in planned]
        further = (tuple(new[at : at + size]) for at in range(0, len(new), size))
        return Plan(self.asked, (*self.shards, *further))


def shard_name(number: int) -> str:
    """Such as `shard-00012`."""
    return f"shard-{number:05d}"
