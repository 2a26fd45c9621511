"""Rendered photos of mouths with exact boxes of the teeth: examples and training data free of patients.

A mouth is a set of teeth along two dental arches in millimetres, seen by a camera with yaw, pitch and perspective.
`geometry` decides where everything is, `painting` what colour it has, `photograph` adds what a camera adds. What is
where never depends on the lesions, so one seed with and without caries is the same mouth in the same photo. Colours
and framing imitate photos taken with phones and with cheek retractors. `others` makes pictures of anything else. No
pixel of a real photo is used.
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
