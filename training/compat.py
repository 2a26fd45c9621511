"""Make the TensorFlow 2 Object Detection API work with TensorFlow 2.21.

Import `tf` from here, before `object_detection`. The API was last released for TensorFlow 2.11; this supplies what it
no longer finds:

| it needs                                 | status                           | supplied here                  |
|------------------------------------------|----------------------------------|--------------------------------|
| Keras 2 as `tf.keras`                    | Keras 3 since TensorFlow 2.16    | `tf-keras`, chosen by variable |
| `tensorflow_io`                          | DeepMAC only                     | an empty module                |
| `tensorflow.compat.v1.estimator`         | removed in TensorFlow 2.16       | an empty module                |
| `official`'s EfficientNet, EMA optimizer | `tf-models-official` is not used | placeholders that fail on use  |
| `control_flow_ops.case` and `.cond`      | moved inside TensorFlow          | the moved functions            |
| `ImageFont.getsize`                      | removed in Pillow 10             | the same measure by `getbbox`  |
| `lvis`                                   | LVIS metrics only                | placeholders that fail on use  |
| ImageNet weights of CenterNet's backbone | downloaded by every build        | random weights, restored later |
"""

import os
import sys
import warnings
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


class _NotInstalled:
    """Stands in for a class of a package that is not installed; instantiating it raises."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} needs tf-models-official, which is not supported here")


def _module(name: str, **attributes: Any) -> ModuleType:
    """Register a module of this name, and its parents, unless the real one is imported."""
    parent_name, _, leaf = name.rpartition(".")
    if name not in sys.modules:
        module = ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
        if parent_name:
            setattr(_module(parent_name), leaf, module)
    for key, value in attributes.items():
        setattr(sys.modules[name], key, value)
    return sys.modules[name]


def _import_with_onednn() -> Any:
    """TensorFlow with oneDNN's convolutions, which speed up a training step on AVX2 too, where they are off by default.

    Fused convolutions are many times slower there, so nothing is fused. Child processes do not inherit the variable.
    """
    if "TF_ENABLE_ONEDNN_OPTS" in os.environ or "tensorflow" in sys.modules:
        import tensorflow
    else:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        import tensorflow

        tensorflow.config.optimizer.set_experimental_options({"remapping": False})
        del os.environ["TF_ENABLE_ONEDNN_OPTS"]
    return tensorflow


def _install() -> Any:
    tf2 = _import_with_onednn()
    import tensorflow.compat.v1 as tf1
    from PIL import ImageFont
    from tensorflow.python.ops import cond as tf_cond
    from tensorflow.python.ops import control_flow_case, control_flow_ops

    tf1.estimator = _module("tensorflow.compat.v1.estimator")
    _module("tensorflow_io")
    _module("lvis", LVIS=type("LVIS", (_NotInstalled,), {}))
    for leaf, class_name in (("lvis", "LVIS"), ("eval", "LVISEval"), ("results", "LVISResults")):
        _module(f"lvis.{leaf}", **{class_name: type(class_name, (_NotInstalled,), {})})
    for path in ("official.vision.image_classification", "official.legacy.image_classification"):
        _module(f"{path}.efficientnet.efficientnet_model", EfficientNet=type("EfficientNet", (_NotInstalled,), {}))
    _module(
        "official.modeling.optimization.ema_optimizer",
        ExponentialMovingAverage=type("ExponentialMovingAverage", (_NotInstalled,), {}),
    )

    control_flow_ops.case = control_flow_case.case
    control_flow_ops.cond = tf_cond.cond

    build_mobilenet_v2 = tf1.keras.applications.MobileNetV2

    def mobilenet_v2_without_download(*arguments: Any, **options: Any) -> Any:
        return build_mobilenet_v2(*arguments, **{**options, "weights": None})

    for keras in (tf1.keras, tf2.keras):
        keras.applications.MobileNetV2 = mobilenet_v2_without_download

    def getsize(font: Any, text: str, *_: Any, **__: Any) -> tuple[int, int]:
        left, top, right, bottom = font.getbbox(text)
        return right - left, bottom - top

    for font_class in (ImageFont.ImageFont, ImageFont.FreeTypeFont):
        font_class.getsize = getsize  # type: ignore[union-attr]
    return tf2


def leave_training_mode() -> None:
    """Make models built from here on normalize by their averages; the API's training step sets Keras' global phase."""
    tf.keras.backend.set_learning_phase(False)


warnings.filterwarnings("ignore", message=".*set_learning_phase.*")
warnings.filterwarnings("ignore", message="(?s).*tf.lite.Interpreter is deprecated.*")
tf = _install()
