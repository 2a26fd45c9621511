"""Rendered photos of mouths with exact tooth boxes: examples and training data without patients.

`geometry` places teeth along two dental arches before a camera, `painting` colours them, `photograph` adds the camera's
effects. The geometry does not depend on lesions: a seed gives the same mouth with and without caries. Colours and
framing imitate photos by phones and with cheek retractors. `others` renders anything but mouths.
"""

from training.render.dataset import JPEG_QUALITY, write_via
from training.render.geometry import VIEW_SHARES, VIEWS, View
from training.render.mouth import RenderedMouth, RenderError, render_mouth
from training.render.others import render_other

__all__ = [
    "JPEG_QUALITY",
    "VIEWS",
    "VIEW_SHARES",
    "RenderError",
    "RenderedMouth",
    "View",
    "render_mouth",
    "render_other",
    "write_via",
]
