"""Data sets: whom to credit, what the labels mean, and how often the photos are drawn.

`dataset.toml` in the folder of a data set, all keys optional:

    name = "clinic-a"               in groups, figures and recipes (default: the folder's name)
    credit = "Clinic A, 2026"       owner and origin, for the model card
    licence = "CC BY 4.0"
    labels = "every tooth"          or "nearly every tooth", "carious teeth only"
    weight = 1                      how often each of its photos is drawn in an epoch, 0 to 20, unless the recipe says
    photos = "photos"               folder or zip file of photos and labels, relative to this file (default: its folder)

A folder without one takes the description in `training/recipes/data` that has its name, if any.
"""

import difflib
import json
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Self

from training.data.source import AnnotationError
from training.output import write_file

DESCRIPTION = "dataset.toml"
KNOWN = Path(__file__).parents[1] / "recipes" / "data"
MAX_WEIGHT = 20


class Labels(StrEnum):
    """Which of the visible teeth have a box."""

    EVERY_TOOTH = "every tooth"
    NEARLY_EVERY_TOOTH = "nearly every tooth"
    CARIOUS_TEETH_ONLY = "carious teeth only"


@dataclass(frozen=True, slots=True)
class DataSet:
    """The description of a data set; see the module."""

    name: str
    credit: str = ""
    licence: str = ""
    labels: Labels = Labels.EVERY_TOOTH
    weight: int = 1

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, name: str) -> Self:
        """The data set with these keys, named `name` if they do not name it. Raises AnnotationError: an unknown key
        (with the nearest known one), or a value that is not allowed."""
        known = [field.name for field in fields(cls)]
        values = {"name": name, **values}
        for key, value in values.items():
            if key not in known:
                near = difflib.get_close_matches(key, [*known, "photos"], n=1, cutoff=0.0)[0]
                raise AnnotationError(f"{key} is not a key of a data set; the nearest one is {near}")
            if key != "weight" and not isinstance(value, str):
                raise AnnotationError(f"{key} is {value!r}, allowed is a string")
        if not values["name"].strip():
            raise AnnotationError("name is empty")
        labels = values.get("labels", Labels.EVERY_TOOTH)
        if labels not in list(Labels):
            raise AnnotationError(f"labels is {labels!r}, allowed are {', '.join(map(repr, map(str, Labels)))}")
        weight = values.get("weight", 1)
        if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= MAX_WEIGHT:
            raise AnnotationError(f"weight is {weight!r}, allowed is a whole number from 0 to {MAX_WEIGHT}")
        return cls(**{**values, "labels": Labels(labels)})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_data_set(data: Path) -> tuple[DataSet, Path]:
    """The description of a data set, and the folder or zip file of its photos, given that folder or zip file or a
    TOML file that describes it. Raises AnnotationError: the description is wrong."""
    if data.suffix == ".toml":
        return _described(data, data.resolve().parent.name)
    if data.is_dir() and (data / DESCRIPTION).is_file():
        return _described(data / DESCRIPTION, data.resolve().name)
    name = data.resolve().stem if data.is_file() else data.resolve().name
    if data.is_file() and (text := _description_in_zip(data)) is not None:
        return _parse(text, f"{data.name}, {DESCRIPTION}", name)[0], data
    known = next((path for path in KNOWN.glob("*.toml") if path.stem == name), None)
    return (_described(known, name)[0] if known else DataSet(name)), data


def save_data_sets(data_sets: Sequence[DataSet], path: Path) -> None:
    write_file(path, json.dumps([one.as_dict() for one in data_sets], indent=1) + "\n")


def load_data_sets(path: Path) -> list[DataSet]:
    """The saved data sets; none if an earlier version prepared the photos."""
    if not path.exists():
        return []
    return [DataSet.from_dict(values, name="") for values in json.loads(path.read_text(encoding="utf-8"))]


def _described(path: Path, name: str) -> tuple[DataSet, Path]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path} cannot be read: {error}") from error
    data_set, photos = _parse(text, str(path), name)
    return data_set, path.parent / photos


def _parse(text: str, where: str, name: str) -> tuple[DataSet, str]:
    """A description, and its key `photos`."""
    try:
        values = tomllib.loads(text)
        photos = values.pop("photos", ".")
        if not isinstance(photos, str):
            raise AnnotationError(f"photos is {photos!r}, allowed is a string")
        return DataSet.from_dict(values, name=name), photos
    except tomllib.TOMLDecodeError as error:
        raise AnnotationError(f"{where} cannot be read: {error}") from error
    except AnnotationError as error:
        raise AnnotationError(f"{where}: {error}") from error


def _description_in_zip(archive: Path) -> str | None:
    try:
        with zipfile.ZipFile(archive) as members:
            found = [name for name in members.namelist() if PurePosixPath(name).name == DESCRIPTION]
            return members.read(min(found, key=len)).decode() if found else None
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, UnicodeDecodeError):
        return None  # unpacking names the problem
