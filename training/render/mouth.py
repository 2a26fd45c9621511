"""A rendered photo from a seed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.render.geometry import VIEW_SHARES, VIEWS, build_mouth, stream, visible_boxes
from training.render.painting import paint
from training.render.photograph import photograph

MAX_SIDE = 4096
"""Pixels; a larger photo would take gigabytes of memory."""


class RenderError(TrainingError):
    """A mouth cannot be rendered as requested."""


@dataclass(frozen=True)
class RenderedMouth:
    """Attributes: RGB uint8 `[height, width, 3]`; tight boxes of the visible crowns, float32 `[n, 4]`,
    `[ymin, xmin, ymax, xmax]` in whole pixels; their labels, `normal` or `caries`."""

    image: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    labels: tuple[str, ...]


def render_mouth(
    seed: int, *, width: int = 640, height: int = 480, caries: int | None = None, view: str | None = None
) -> RenderedMouth:
    """Render a mouth; the same arguments give the same arrays. The number of carious teeth and the view, one of
    `VIEWS`, are drawn if None. Raises RenderError: an argument is out of range, or there are fewer visible teeth."""
    if seed < 0:
        raise RenderError(f"seed is {seed}, must not be negative")
    if not (64 <= width <= MAX_SIDE and 64 <= height <= MAX_SIDE):
        raise RenderError(f"photo of {width} x {height} pixels, both must be from 64 to {MAX_SIDE}")
    if view is not None and view not in VIEWS:
        raise RenderError(f"view is {view!r}, must be one of {', '.join(VIEWS)}")
    rng = stream(seed, 5)
    drawn = str(rng.choice(list(VIEWS), p=VIEW_SHARES))
    mouth = build_mouth(seed, VIEWS[view or drawn], width, height)
    found, boxes, shares = visible_boxes(mouth)
    if caries is None:
        healthy = rng.random() < 0.3
        caries = 0 if healthy or not found else int(rng.integers(1, max(2, round(len(found) * 0.65)) + 1))
        caries = min(caries, len(found))
    if not 0 <= caries <= len(found):
        raise RenderError(f"caries is {caries}, must be from 0 to {len(found)}, the visible teeth of seed {seed}")
    # The most visible teeth get lesions first.
    ranks = np.array(shares) + rng.uniform(0, 0.6, len(shares))
    carious = {found[place] for place in np.argsort(-ranks, kind="stable")[:caries]}
    image = photograph(paint(mouth, seed, sorted(carious)), seed)
    labels = tuple("caries" if index in carious else "normal" for index in found)
    return RenderedMouth(image, boxes, labels)
