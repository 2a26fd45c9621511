"""`Detections` written as lists."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.detector.detections import Detections


def listed(
    boxes: Sequence[Sequence[float]] | npt.NDArray[Any],
    scores: Sequence[float] | npt.NDArray[Any],
    class_ids: Sequence[int] | npt.NDArray[Any],
) -> Detections:
    """Detections with the types of the arrays that they need."""
    return Detections(np.asarray(boxes, np.float32), np.asarray(scores, np.float32), np.asarray(class_ids, np.int32))
