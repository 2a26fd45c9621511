"""Runtimes execute a bundle's detector. This module declares what a runtime offers; the others implement it.

A worker process imports this package, so it must not import anything heavy.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections

Pixels = npt.NDArray[np.uint8]
"""A photo, `[height, width, 3]`, RGB, upright."""


class ChoosesPrecision(Protocol):
    """Chooses between the TFLite models of a bundle, once for all workers."""

    @property
    def chosen(self) -> str | None:
        """The precision; None until it is measured."""

    def choose(self, time: Callable[[], dict[str, float]]) -> str:
        """The precision; `time` gives milliseconds by precision, and is called unless they are known."""


class RuntimeOptions(TypedDict, total=False):
    """How to load a runtime.

    Attributes:
        precision: int8 requires LiteRT.
        chooser: chooses the precision of LiteRT, in place of `precision`.
        threads: CPU threads for one inference.
        alone_threads: CPU threads of LiteRT for `detect_alone`; None means `threads`.
        batch_size: photos per call of TensorFlow; more than one only if the bundle supports it.
    """

    precision: str
    chooser: ChoosesPrecision
    threads: int
    alone_threads: int | None
    batch_size: int


class Pipeline(Protocol):
    """Detection in two calls, so that a runtime has its next photo before it finishes the current one."""

    @property
    def depth(self) -> int:
        """How many photos may be begun and not finished."""

    def begin(self, pixels: Pixels, *, alone: bool = False) -> None:
        """Hand over a photo.

        Raises:
            WorkerDied: the process ended; the photo was not taken.
        """

    def finish(self) -> Detections:
        """The detections of the photo that was begun first; raises what `Runtime.detect` raises."""


class Runtime(Protocol):
    """A loaded detector. Callers make one call at a time, `kill` excepted.

    Subclass it for the defaults: no batches, no pipeline, and no process that could die.

    Attributes:
        name: `litert` or `tensorflow`.
        device: `cpu`, or `gpu` with the GPU's name.
        batch_size: photos that `detect_batch` accepts.
        detects_alone: whether `detect_alone` differs from `detect`.
    """

    name: str
    device: str
    batch_size: int = 1
    detects_alone: bool = False

    @abstractmethod
    def detect(self, pixels: Pixels) -> Detections:
        """All detections, of every class and score, on a photo of any size.

        Raises:
            WorkerDied: the runtime's process ended before it answered.
        """

    def detect_alone(self, pixels: Pixels) -> Detections:
        """The same, with all cores: no other photo is being detected."""
        return self.detect(pixels)

    def detect_batch(self, photos: Sequence[Pixels]) -> list[Detections]:
        """Detections on each of up to `batch_size` photos."""
        return [self.detect(pixels) for pixels in photos]

    @property
    def pipeline(self) -> Pipeline | None:
        """Present if the runtime can be handed the next photo early."""
        return None

    @property
    def alive(self) -> bool:
        """False once the runtime's process has ended."""
        return True

    def kill(self) -> None:
        """End the runtime's process immediately, from any thread; a pending call raises WorkerDied."""
        return

    def close(self) -> None:
        """Release what the runtime holds. May be called twice."""
        return


def fitted(pixels: Pixels, height: int, width: int) -> Pixels:
    """The photo resized to the model's input, or unchanged if it has that size."""
    if pixels.shape[:2] == (height, width):
        return pixels
    # A worker process gets photos of the right size and is spared the memory of the decoders.
    from app.photo.resizing import resize

    return resize(pixels, height, width)
