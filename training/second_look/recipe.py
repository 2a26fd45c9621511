"""A recipe (TOML) of the second look: everything that its training may vary."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from training.recipe import RecipeError

SECOND_LOOK_RECIPE = Path(__file__).parents[1] / "recipes" / "second-look-96.toml"


@dataclass(frozen=True, slots=True)
class SecondLookRecipe:
    """A training of the second look.

    Attributes:
        model_name: of the classifier.
        crop_size: pixels; crops are squares of this side. A multiple of 32.
        context: side of the square that is cut, as a multiple of the box's longer side.
        last_layer: of the MobileNetV2 backbone that is used, by its Keras name.
        last_frozen_layer: this layer and those below stay as they were pretrained: `block_2_add`, `block_5_add` or
            `block_12_add`, below which no layer reaches past it.
        views: augmented views of each tooth, which the epochs take in turn.
        frozen_batch_norm: keep the batch norms of the upper layers as they were pretrained as well.
        batch_size: crops a step.
        epochs: times that every tooth is seen.
        seed: of order, augmentation and the head's initial weights.
        learning_rate: highest one of Adam; linear warm-up over a tenth of the steps, then cosine to 0.
        weight_decay: decoupled (Loshchilov and Hutter 2019).
        label_smoothing: share of the target that all classes share equally (Szegedy et al. 2016).
        dropout: share of the pooled features that a step leaves out.
        shift: largest displacement of the crop, as a share of the box's longer side.
        zoom: largest change of the crop's scale, as a factor beside 1.
        rotation: largest, degrees.
        colour: largest change of brightness, contrast and colour temperature, as a factor beside 1.
        blur: share of the crops that are blurred.
        background: boxes that show no tooth, or too little of one, for each tooth; they are a class of their own. 0 for
            none and no such class.
    """

    model_name: str
    crop_size: int = 96
    context: float = 1.5
    last_layer: str = "out_relu"
    last_frozen_layer: str = "block_12_add"
    views: int = 8
    frozen_batch_norm: bool = False
    batch_size: int = 64
    epochs: int = 12
    seed: int = 1
    learning_rate: float = 5e-4
    weight_decay: float = 1e-3
    label_smoothing: float = 0.1
    dropout: float = 0.3
    shift: float = 0.12
    zoom: float = 0.2
    rotation: float = 10.0
    colour: float = 0.15
    blur: float = 0.3
    background: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, default = getattr(self, field.name), field.default
            # A whole number will do where a number is asked for; True is no number.
            kind = (int, float) if isinstance(default, float) else str if field.name == "model_name" else type(default)
            if not isinstance(value, kind) or isinstance(value, bool) != isinstance(default, bool):
                raise RecipeError(f"{field.name} is {value!r}, which is not of the kind of {default!r}")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise RecipeError(f"{name} is {getattr(self, name)!r}, allowed is {low:g} to {high:g}")
        if self.crop_size % 32:
            raise RecipeError(f"crop_size is {self.crop_size}, allowed is a multiple of 32")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The recipe in a TOML file.

        Raises:
            RecipeError: not TOML, an unknown key, or a value out of range.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(f"{path} cannot be read: {error}") from error
        return cls.of_values(values)

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> Self:
        """The recipe of these keys.

        Raises:
            RecipeError: an unknown key, a name that is missing, or a value out of range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise RecipeError(f"{unknown[0]} is not a key of a recipe of the second look")
        if "model_name" not in values:
            raise RecipeError("the model is not named (model_name)")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Every key with its value, ready for JSON."""
        return asdict(self)


_RANGES: dict[str, tuple[float, float]] = {
    "crop_size": (32, 320),
    "views": (1, 100),
    "context": (1.0, 4.0),
    "batch_size": (1, 1024),
    "epochs": (1, 1000),
    "seed": (0, 2**31 - 1),
    "learning_rate": (1e-7, 1.0),
    "weight_decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.5),
    "dropout": (0.0, 0.9),
    "shift": (0.0, 0.5),
    "zoom": (0.0, 0.5),
    "rotation": (0.0, 45.0),
    "colour": (0.0, 0.5),
    "blur": (0.0, 1.0),
    "background": (0.0, 4.0),
}
