"""The effects of a camera."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.render.geometry import Floats, stream


def photograph(canvas: Floats, seed: int) -> npt.NDArray[np.uint8]:
    """White balance, exposure, vignette, blur and noise; RGB uint8."""
    rng = stream(seed, 4)
    height, width = canvas.shape[:2]
    warmth = rng.normal(0.0, 0.05)
    gains = np.array([1 + warmth, 1 + rng.normal(0, 0.012), 1 - warmth * 1.3], np.float32)
    gains *= np.float32(rng.uniform(0.92, 1.18))
    x = np.linspace(-1, 1, width, dtype=np.float32) - rng.normal(0, 0.15)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - rng.normal(0, 0.15)
    falloff = 1.04 - rng.uniform(0.08, 0.30) * (x**2 + y**2) / 2
    photo = np.clip(canvas * gains * falloff[..., None].astype(np.float32), 0, None)
    # A shoulder softens the clipping of the flash.
    photo = np.where(photo > 0.85, 0.85 + 0.15 * np.tanh((photo - 0.85) / 0.15), photo)
    photo = photo ** np.float32(rng.uniform(0.88, 1.15))
    grey = photo.mean(axis=2, keepdims=True)
    photo = grey + (photo - grey) * rng.uniform(0.85, 1.2)
    photo = ndimage.gaussian_filter(photo, (*[rng.uniform(0.35, 1.1) * width / 640] * 2, 0))
    noise = rng.standard_normal((height, width, 1), np.float32) * 0.7
    noise = noise + rng.standard_normal((height, width, 3), np.float32) * 0.5
    photo = photo + rng.uniform(0.003, 0.014) * noise
    return np.asarray(np.clip(photo, 0, 1) * 255 + 0.5, np.uint8)
