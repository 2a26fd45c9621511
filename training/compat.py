"""Makes the TensorFlow 2 Object Detection API importable beside TensorFlow 2.21.

Import this module before TensorFlow and before anything of `object_detection`. The API was last released for
TensorFlow 2.11; what it asks for and no longer finds is supplied here:

| it asks for                              | what happened to it              | what it gets here              |
|------------------------------------------|----------------------------------|--------------------------------|
| Keras 2 as `tf.keras`                    | Keras 3 since TensorFlow 2.16    | `tf-keras`, chosen by variable |
| `tensorflow_io`                          | DeepMAC only                     | an empty module                |
| `tensorflow.compat.v1.estimator`         | removed in TensorFlow 2.16       | an empty module                |
| `official`'s EfficientNet, EMA optimizer | `tf-models-official` is not used | placeholders that fail on use  |
| `control_flow_ops.case` and `.cond`      | moved inside TensorFlow          | the moved functions            |
| `ImageFont.getsize`                      | removed in Pillow 10             | the same measure by `getbbox`  |
| `lvis`                                   | LVIS metrics only                | placeholders that fail on use  |
| ImageNet weights for CenterNet's backbone | a download whenever it is built  | random weights: a checkpoint follows |
"""

import os
import sys
import warnings
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


class _NotInstalled:
    """Stands for a class of a package that this project does without; using it says so."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} needs tf-models-official, which is not supported here")


def _module(name: str, **attributes: Any) -> ModuleType:
    """Registers a module of this name, and its parents, unless the real one was imported."""
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
    """TensorFlow with the convolutions of oneDNN.

    By itself it takes them only where the processor has instructions for neural networks, but a training step is
    faster with them on one of AVX2 alone as well (docs/training.md, "Speed of the loop"). Convolutions that TensorFlow
    fuses with what follows are not: they took many times as long there, so that nothing is fused. The variable, which
    TensorFlow reads once, is not left to the processes that this one starts.
    """
    if "TF_ENABLE_ONEDNN_OPTS" in os.environ or "tensorflow" in sys.modules:
        import tensorflow
    else:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        import tensorflow

        tensorflow.config.optimizer.set_experimental_options({"remapping": False})
        del os.environ["TF_ENABLE_ONEDNN_OPTS"]
    return tensorflow


def _install() -> None:
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

    if not hasattr(control_flow_ops, "case"):
        control_flow_ops.case = control_flow_case.case
    if not hasattr(control_flow_ops, "cond"):
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
        if not hasattr(font_class, "getsize"):
            font_class.getsize = getsize  # type: ignore[union-attr]


def leave_training_mode() -> None:
    """Undoes what a training leaves behind in the process: models built from here on normalize by their averages.

    Keras keeps one learning phase for all models, and the API's training step sets it.
    """
    import tensorflow as tf

    tf.keras.backend.set_learning_phase(False)


warnings.filterwarnings("ignore", message=".*set_learning_phase.*")
warnings.filterwarnings("ignore", message="(?s).*tf.lite.Interpreter is deprecated.*")
_install()
