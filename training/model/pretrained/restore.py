"""The checkpoint that the Object Detection API fine-tunes from, given the weights that a recipe names."""

from pathlib import Path
from typing import NamedTuple

from training.model.pretrained.backbone import save_backbone_checkpoint
from training.model.pretrained.catalogue import CATALOGUE, PretrainedWeightsError, find_weights
from training.model.pretrained.fetch import cache_folder, verify
from training.recipe import COCO_BACKBONE


class FineTune(NamedTuple):
    """The checkpoint's prefix and its `fine_tune_checkpoint_type`, see `training.model.configure.configure`."""

    prefix: Path
    type: str


def fine_tune_source(name: str, architecture: str, out: Path, *, cache: Path | None = None) -> FineTune:
    """The checkpoint of these weights.

    The name is in the catalogue, or the prefix or folder of your own checkpoint of the same architecture. The installed
    backbone is saved to `out`; fetched weights are in `cache`, by default the user's. Raises PretrainedWeightsError:
    the weights are missing (the message says how to get them) or for another detector.
    """
    if name not in CATALOGUE and ("/" in name or Path(f"{name}.index").exists() or Path(name).is_dir()):
        return FineTune(_own_checkpoint(Path(name)), "detection")
    weights = find_weights(name)
    if weights.architecture != architecture:
        raise PretrainedWeightsError(f"{name} are weights of {weights.architecture}, the recipe trains {architecture}")
    if name == COCO_BACKBONE:
        return FineTune(save_backbone_checkpoint(out), weights.type)
    cache = cache or cache_folder()
    verify(name, cache)
    return FineTune(cache / name / "checkpoint" / "ckpt-0", weights.type)


def _own_checkpoint(path: Path) -> Path:
    from training.compat import tf

    prefix = tf.train.latest_checkpoint(str(path)) if path.is_dir() else str(path)
    if prefix is None or not Path(f"{prefix}.index").is_file():
        raise PretrainedWeightsError(f"{path} is not a checkpoint to start from")
    return Path(prefix)
