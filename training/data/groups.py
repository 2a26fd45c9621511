"""Folds that keep look-alike photos together: near-duplicates grouped by perceptual hash.

Copies of a photo on both sides of a split would reward memorizing. The hash finds copies that were saved again, scaled,
slightly cropped, brightened, darkened or mirrored, but not other photos of the same mouth: list those in `folds.csv`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.photo.pixels import Pixels

HASH_DISTANCE = 10
"""Bits of 64 that may differ between copies. On 209 photos of different mouths this joins one pair of 21,736 wrongly
and finds 98 % of altered copies (`benchmarks/look_alikes.py`)."""

FOLDS = 5

SHUFFLES = 100
"""Random splits to average leaks over."""

Hashes = npt.NDArray[np.bool_]


def perceptual_hashes(pixels: Pixels) -> Hashes:
    """The 64-bit perceptual hashes (Zauner 2010, by ImageHash), bool `[2, 64]`, of a photo and of its mirror image."""
    import imagehash

    photo = Image.fromarray(pixels)
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.stack([imagehash.phash(one).hash.ravel() for one in (photo, mirrored)])


def group_look_alikes(hashes: Sequence[Hashes], *, distance: int = HASH_DISTANCE) -> list[int]:
    """The position of each photo's first group member, by their `perceptual_hashes`; a group is linked by hashes at
    most `distance` bits apart."""
    groups = list(range(len(hashes)))
    if not groups:
        return groups
    plain, mirrored = (np.stack([item[side] for item in hashes]) for side in (0, 1))
    for position in range(1, len(groups)):
        differing = np.minimum(
            (plain[:position] != plain[position]).sum(axis=1), (plain[:position] != mirrored[position]).sum(axis=1)
        )
        for other in np.flatnonzero(differing <= distance):
            first, second = _root(groups, position), _root(groups, int(other))
            groups[max(first, second)] = min(first, second)
    return [_root(groups, position) for position in range(len(groups))]


def assign_folds(groups: Sequence[str], has_caries: Sequence[bool], *, seed: int = 0) -> list[int]:
    """The fold of each photo: groups stay together, photos and photos with caries are spread as evenly as possible.
    The seed orders groups of equal size."""
    members: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group, []).append(position)
    names = sorted(members)
    np.random.default_rng(seed).shuffle(names)
    names.sort(key=lambda name: -len(members[name]))
    photos, carious = np.zeros(FOLDS), np.zeros(FOLDS)
    folds = [0] * len(groups)
    for name in names:
        cases = sum(bool(has_caries[position]) for position in members[name])
        # The smallest fold; of equals the one with the fewest photos of the group's majority.
        kind = carious if cases * 2 >= len(members[name]) else photos - carious
        fold = int(np.lexsort((kind, photos))[0])
        photos[fold] += len(members[name])
        carious[fold] += cases
        for position in members[name]:
            folds[position] = fold
    return folds


def leaks_of_random_split(groups: Sequence[str], folds: Sequence[int], *, seed: int = 0) -> float:
    """Photos with a look-alike in another fold if dealt singly into folds of these sizes; mean over shuffles."""
    random = np.random.default_rng(seed)
    names, numbers = np.unique(np.array(groups), return_inverse=True)
    leaks = 0
    for _ in range(SHUFFLES if len(groups) else 0):
        shuffled = random.permutation(np.array(folds))
        present = np.zeros((len(names), max(folds) + 1), bool)
        present[numbers, shuffled] = True
        leaks += int((present.sum(axis=1) > 1)[numbers].sum())
    return leaks / SHUFFLES


def _root(groups: list[int], position: int) -> int:
    while groups[position] != position:
        position = groups[position]
    return position
