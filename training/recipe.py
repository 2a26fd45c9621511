"""A recipe (TOML): everything that a training may vary, under the names of the study that the project follows."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from training.errors import TrainingError

SHIPPED_RECIPE = Path(__file__).parent / "recipes" / "caries-320.toml"

ARCHITECTURES: Mapping[str, frozenset[str]] = {
    "ssd_mobilenet_v2_fpnlite": frozenset(),
    "ssd_resnet50_v1_fpn": frozenset(),
    "faster_rcnn_resnet50_v1": frozenset({"batch_norm_decay", "batch_norm_epsilon", "multi_scale"}),
    "centernet_mobilenet_v2_fpn": frozenset(
        {
            *("batch_norm_decay", "batch_norm_epsilon", "iou_threshold", "nms_score_threshold"),
            *("aspect_ratios", "anchor_scale", "multi_scale"),
        }
    ),
}
"""The trainable detectors of the Object Detection API, with the keys that each ignores; their stock configurations are
`model/configs/<architecture>.config`."""

NAMES = ("model_name", "data_credit")
"""Keys that do not affect the trained detector."""

COCO_BACKBONE = "coco-backbone"
NO_PRETRAINED = "none"

RANGES: Mapping[str, tuple[float, float]] = {
    "input_size": (96, 1280),
    "batch_size": (1, 1024),
    "num_steps": (1, 1_000_000),
    "seed": (0, 2**31 - 1),
    "learning_rate_base": (1e-6, 1.0),
    "warmup_learning_rate": (0.0, 1.0),
    "warmup_steps": (0, 100_000),
    "classification_weight": (0.01, 100.0),
    "localization_weight": (0.01, 100.0),
    "iou_threshold": (0.1, 0.95),
    "nms_score_threshold": (0.0, 0.5),
    "batch_norm_decay": (0.0, 0.9999),
    "batch_norm_epsilon": (1e-6, 0.1),
    "anchor_scale": (0.5, 16.0),
    "evaluate_every": (0, 1_000_000),
    "early_stop_after": (0, 1_000),
    "rendered_photos": (0, 100_000),
    "other_pictures": (0, 100_000),
    "rotation": (0.0, 180.0),
    "zoom_out": (0.0, 1.0),
    "white_balance": (0.0, 0.5),
    "training_share": (0.001, 1.0),
}
"""Allowed values, inclusive; whole numbers if both bounds are."""

TEXTS = ("model_name", "architecture", "pretrained", "data_credit")
MAX_SAMPLING = 20
LISTS = ("multi_scale", "aspect_ratios", "data_augmentation")


class RecipeError(TrainingError):
    """A recipe names an unknown key or a value that is not allowed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a training may vary; see `RANGES`.

    Attributes:
        model_name: of the bundle.
        architecture: one of `ARCHITECTURES`.
        pretrained: weights to start from: a name from `python -m training pretrained list`, your own checkpoint, or
            `none` for random weights.
        input_size: pixels, a multiple of 32; photos are squeezed to `input_size` x `input_size`.
        multi_scale: smaller sizes at which the trained detector runs too; the detections of all are fused
            (`app.detector.fusion`). Training is at `input_size` alone.
        batch_size, num_steps: photos per step, number of steps.
        seed: of the photo order, the augmentation and the initial weights.
        learning_rate_base, warmup_learning_rate, warmup_steps: cosine decay to 0 over `num_steps` after a linear
            warm-up (momentum 0.9; Adam for CenterNet).
        classification_weight, localization_weight: weights of the two losses.
        iou_threshold: of non-maximum suppression, within a class.
        nms_score_threshold: boxes below it are neither suppressed nor returned, which saves a quarter of a small
            detector's time; 0 keeps the stock's, which is close to 0.
        batch_norm_decay, batch_norm_epsilon: of the moving averages, which are re-estimated where
            `decay ** num_steps` is not negligible, see `training.model.batch_norm`.
        aspect_ratios, anchor_scale: of the anchors: width over height; the smallest SSD anchor is `8 * anchor_scale`
            pixels.
        evaluate_every: steps between evaluations on the held-out fold; 0 for none.
        early_stop_after: evaluations without a new best after which the training ends; 0 for never.
        rendered_photos: mouths of `training.render` added to the training part.
        other_pictures: pictures of anything else (`training.render.others`) added to it.
        data_credit: owner and licence of the photos, for the model card.
        data_augmentation: steps of the API's preprocessor in protobuf text format, in order.
        rotation, zoom_out, white_balance: changes before those steps, see `training.model.augmentation`: degrees, share
            of the photos, largest relative change.
        sampling: how often each photo of a data set is drawn in an epoch, by the set's name, 0 to 20; 0 leaves the set
            out of the training. Sets that are not named keep their own weight.
        training_share: of the groups of training photos of each set, chosen by the seed.
    """

    model_name: str
    architecture: str = "ssd_mobilenet_v2_fpnlite"
    pretrained: str = COCO_BACKBONE
    input_size: int = 320
    multi_scale: tuple[int, ...] = ()
    batch_size: int = 16
    num_steps: int = 2000
    seed: int = 1
    learning_rate_base: float = 0.03
    warmup_learning_rate: float = 0.005
    warmup_steps: int = 100
    classification_weight: float = 1.0
    localization_weight: float = 1.0
    iou_threshold: float = 0.6
    nms_score_threshold: float = 0.0
    batch_norm_decay: float = 0.97
    batch_norm_epsilon: float = 0.001
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)
    anchor_scale: float = 4.0
    evaluate_every: int = 0
    early_stop_after: int = 0
    rendered_photos: int = 0
    other_pictures: int = 0
    data_credit: str = ""
    data_augmentation: tuple[str, ...] = ("random_horizontal_flip {}",)
    rotation: float = 0.0
    zoom_out: float = 0.0
    white_balance: float = 0.0
    sampling: Mapping[str, int] = field(default_factory=dict)
    training_share: float = 1.0

    def __post_init__(self) -> None:
        values = self.as_dict()
        for name, (low, high) in RANGES.items():
            value = values[name]
            if not _is_number(value) or not low <= value <= high:
                raise _refusal(name, value, f"is {low:g} to {high:g}")
            if isinstance(low, int) and isinstance(high, int) and not isinstance(value, int):
                raise _refusal(name, value, "is a whole number")
        for name in TEXTS:
            if not isinstance(values[name], str):
                raise _refusal(name, values[name], "is a text")
        if self.architecture not in ARCHITECTURES:
            near = difflib.get_close_matches(self.architecture, ARCHITECTURES, n=1, cutoff=0.0)[0]
            raise RecipeError(
                f"architecture is {self.architecture!r}, allowed are {', '.join(ARCHITECTURES)}; the nearest is {near}"
            )
        if self.pretrained == COCO_BACKBONE and self.architecture != "ssd_mobilenet_v2_fpnlite":
            raise RecipeError(
                f"pretrained is {COCO_BACKBONE!r}, which fits ssd_mobilenet_v2_fpnlite; for {self.architecture} name "
                f"weights of its own, or {NO_PRETRAINED!r}"
            )
        if self.input_size % 32:
            raise _refusal("input_size", self.input_size, "is a multiple of 32")
        sizes = self.multi_scale
        if not all(_is_smaller_size(size, self.input_size) for size in sizes) or len(set(sizes)) < len(sizes):
            allowed = f"are different multiples of 32 from 96 to below input_size ({self.input_size})"
            raise _refusal("multi_scale", list(sizes), allowed)
        if not self.aspect_ratios or not all(_is_number(ratio) and 0.05 <= ratio <= 20 for ratio in self.aspect_ratios):
            raise _refusal("aspect_ratios", list(self.aspect_ratios), "are numbers from 0.05 to 20")
        if not all(isinstance(step, str) for step in self.data_augmentation):
            raise _refusal("data_augmentation", list(self.data_augmentation), "is a list of texts")
        if not isinstance(self.sampling, Mapping):
            raise _refusal("sampling", self.sampling, "is a table from the names of data sets to whole numbers")
        for name, times in self.sampling.items():
            if not isinstance(times, int) or isinstance(times, bool) or not 0 <= times <= MAX_SAMPLING:
                raise _refusal(f"sampling of {name}", times, f"is a whole number from 0 to {MAX_SAMPLING}")
        for name, bound in (("warmup_steps", "num_steps"), ("warmup_learning_rate", "learning_rate_base")):
            if values[name] > values[bound]:
                raise _refusal(name, values[name], f"is at most {bound} ({values[bound]:g})")
        if self.early_stop_after and not self.evaluate_every:
            raise RecipeError(f"early_stop_after is {self.early_stop_after}, which needs evaluate_every above 0")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The recipe in a TOML file. The key `based_on` names another recipe, relative to the file, whose keys this one
        changes. Raises RecipeError: not TOML, an unknown key (with the nearest known one), or a value out of range."""
        values = _read_values(path, ())
        try:
            recipe = cls.from_dict(values)
            recipe.check_use(values)
        except RecipeError as error:
            raise RecipeError(f"{path.name}: {error}") from error
        return recipe

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The recipe with these keys; the others keep their defaults. Raises RecipeError: an unknown key, or a value
        out of range."""
        known = [key.name for key in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
                raise RecipeError(f"{key} is not a key of a recipe; the nearest one is {near[0]}")
        if "model_name" not in values:
            raise RecipeError("model_name is missing")
        lists = {key: tuple(values[key]) for key in LISTS if isinstance(values.get(key), (list, tuple))}
        for key in LISTS:
            if key in values and key not in lists:
                raise _refusal(key, values[key], "is a list")
        return cls(**{**values, **lists})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes at which the detector runs, in pixels, its input size first."""
        return (self.input_size, *self.multi_scale)

    def check_use(self, keys: Iterable[str]) -> None:
        """Raise RecipeError if this architecture ignores one of the keys that were set."""
        for key in sorted(ARCHITECTURES[self.architecture].intersection(keys)):
            raise RecipeError(f"{key} is set, but {self.architecture} has no use for it")

    def differences(self, other: Self, *, apart_from: Iterable[str] = ()) -> str:
        """Keys with other values in another recipe, in words; empty if there are none."""
        ours, theirs = self.as_dict(), other.as_dict()
        return ", ".join(
            f"{key} {ours[key]!r} instead of {theirs[key]!r}"
            for key in ours
            if key not in apart_from and ours[key] != theirs[key]
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _read_values(path: Path, changed_by: tuple[Path, ...]) -> dict[str, Any]:
    """The keys of a recipe and of those that it is based on; `changed_by` are the recipes that are based on it."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    base = values.pop("based_on", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise _refusal(f"{path.name}: based_on", base, "is the path of a recipe")
    read = (*changed_by, path.resolve())
    base_path = (path.parent / base).resolve()
    if base_path in read:
        raise RecipeError(f"{path.name}: based_on is {base!r}, a recipe that is based on this one")
    return {**_read_values(base_path, read), **values}


def _refusal(key: str, value: Any, allowed: str) -> RecipeError:
    return RecipeError(f"{key} is {value!r}, allowed {allowed}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_smaller_size(value: Any, size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 96 <= value < size and value % 32 == 0
