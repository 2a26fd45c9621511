"""The bundle: one released detector in one folder, `model_store/<model>/<version>/`.

    saved_model.pb, variables/   TensorFlow SavedModel (the layout of TensorFlow Serving)
    model.tflite                 LiteRT, float32
    model_int8.tflite            LiteRT, int8 weights and activations
    label_map.pbtxt              class names and ids
    MODEL_CARD.md                the model card
    seen_photos.json             digests of the photos that the training has seen; only the training reads it
    bundle.json                  everything the server must know, and the sha256 of every other file

`training.release.package` writes bundles with `write_manifest`; `read_bundle` reads them.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from app.detector.calibration import Calibration
from app.detector.detections import Detections
from app.detector.operating_points import Curve, OperatingPoint, read_curve, read_operating_points
from app.errors import BundleError, InvalidParameter, RuntimeUnavailable, UnknownModel

FORMAT_VERSION = 3
READ_VERSIONS = (1, 2, 3)
"""Version 2 adds `calibration`, which its threshold depends on; version 3 adds detection at several sizes
(`input.multi_scale`), of which older programs would use only the first."""

MANIFEST = "bundle.json"
CARD = "MODEL_CARD.md"
FLOAT32_MODEL = "model.tflite"
INT8_MODEL = "model_int8.tflite"
COMPARISON = ".comparison.json"
TFLITE_MODELS = {"float32": FLOAT32_MODEL, "int8": INT8_MODEL}
"""The TFLite files by precision."""
LABEL_MAP = "label_map.pbtxt"
MODEL_NAME = re.compile(r"[a-z0-9]+(?:[-._][a-z0-9]+)*")
"""Allowed model names; they are folder names and part of URLs."""
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, as `read_bundle` returns it.

    Attributes:
        path: its folder.
        name, version: of the model; the version is a positive integer, the newest wins.
        sha256: of `bundle.json`, which contains the sha256 of every other file.
        class_names: class id (from 1) to name.
        screened_class_id: the class that the verdict is about.
        input_height, input_width: pixels of the detector's input.
        operating_point: the default score threshold and box limit.
        calibration: maps the detector's scores to those that the threshold applies to; None leaves them unchanged.
        manifest: the contents of `bundle.json`.
        operating_points: those with a name, the default one too.
        curve: figures over all thresholds, if measured.
        replaces: names of the models that this one replaced.
    """

    path: Path
    name: str
    version: int
    sha256: str
    class_names: Mapping[int, str]
    screened_class_id: int
    input_height: int
    input_width: int
    operating_point: OperatingPoint
    calibration: Calibration | None
    manifest: Mapping[str, Any]
    operating_points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    curve: Curve | None = None
    replaces: tuple[str, ...] = ()

    @property
    def card(self) -> str:
        """The text of the model card, Markdown."""
        return (self.path / CARD).read_text(encoding="utf-8")

    @property
    def precisions(self) -> list[str]:
        """The precisions of its TFLite files; empty if LiteRT cannot run it."""
        return [precision for precision, file in TFLITE_MODELS.items() if (self.path / file).exists()]

    def tflite(self, precision: str) -> Path:
        """The TFLite file of a precision, `float32` or `int8`.

        Raises:
            RuntimeUnavailable: the bundle has none.
        """
        file = self.path / TFLITE_MODELS[precision]
        if not file.exists():
            others = f"{' or '.join(self.precisions)} precision" if self.precisions else "the tensorflow runtime"
            raise RuntimeUnavailable(f"{self.name} {self.version} has no {file.name}: choose {others}")
        return file

    def copy_verified(self, file: Path, to: BinaryIO) -> None:
        """Copy a file of the bundle and compare the copy with the manifest.

        Raises:
            BundleError: it is not the file that the manifest lists.
        """
        digest, size = hashlib.sha256(), 0
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                to.write(block)
                size += len(block)
        name = file.relative_to(self.path).as_posix()
        if {"sha256": digest.hexdigest(), "bytes": size} != self.manifest["files"].get(name):
            raise BundleError(_altered(file))

    def point(self, name: str | None = None) -> OperatingPoint:
        """The operating point of a name; None means the default one.

        Raises:
            InvalidParameter: the bundle has no such point; the message lists its points.
        """
        if name is None:
            return self.operating_point
        if name not in self.operating_points:
            known = ", ".join(self.operating_points) or "none"
            raise InvalidParameter(
                f"the operating point {name[:60]!r} is unknown; those of {self.name} {self.version} are: {known}"
            )
        return self.operating_points[name]

    def calibrated(self, detections: Detections) -> Detections:
        """The detections with the scores that `operating_point` applies to."""
        return detections if self.calibration is None else self.calibration.apply(detections)


def read_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Read the bundle in the folder `path`.

    Args:
        path: the folder `<model>/<version>`.
        verify: compare size and sha256 of every file with the manifest.

    Raises:
        BundleError: the manifest is missing or wrong, or a file is missing, altered or not listed; names the file.
    """
    try:
        data = (path / MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(data)
    except OSError as error:
        raise BundleError(f"{path} is not a bundle: {MANIFEST} cannot be read") from error
    except ValueError as error:
        raise BundleError(f"{path / MANIFEST} is not JSON: {error}") from error
    found = manifest.get("format_version") if isinstance(manifest, dict) else None
    if found not in READ_VERSIONS:
        raise BundleError(f"{path / MANIFEST} has format version {found!r}, this program reads 1 to 3")
    if verify:
        _verify_files(path, manifest)
    try:
        class_names = {int(entry["id"]): str(entry["name"]) for entry in manifest["classes"]}
        ids = {name: class_id for class_id, name in class_names.items()}
        default, points = read_operating_points(manifest)
        bundle = Bundle(
            path=path,
            name=str(manifest["model"]["name"]),
            version=int(manifest["model"]["version"]),
            sha256=hashlib.sha256(data).hexdigest(),
            class_names=MappingProxyType(class_names),
            screened_class_id=ids[manifest["screened_class"]],
            input_height=int(manifest["input"]["height"]),
            input_width=int(manifest["input"]["width"]),
            operating_point=default,
            calibration=Calibration.from_dict(manifest["calibration"]) if "calibration" in manifest else None,
            manifest=MappingProxyType(manifest),
            operating_points=MappingProxyType(points),
            curve=read_curve(manifest),
            replaces=_replaced(manifest),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path / MANIFEST} lacks or misstates {error}") from error
    if not MODEL_NAME.fullmatch(bundle.name) or bundle.version < 1:
        raise BundleError(f"{path / MANIFEST} names the model {bundle.name!r} version {bundle.version}")
    return bundle


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write `bundle.json` to the folder `path`, with the format version and every file's sha256 and size."""
    files = {name: _fingerprint(path / name) for name in _file_names(path)}
    text = json.dumps({"format_version": FORMAT_VERSION, **manifest, "files": files}, indent=2, ensure_ascii=False)
    (path / MANIFEST).write_text(text + "\n", encoding="utf-8")


def comparison_file(path: Path) -> Path:
    """Where a store keeps the comparison of the bundle in the folder `path` with the one before it."""
    return path.with_name(f"{path.name}{COMPARISON}")


def list_comparisons(store: Path) -> list[Path]:
    """Every comparison that a store keeps, of installed and of refused bundles, sorted."""
    return sorted(store.glob(f"*/*{COMPARISON}"))


def list_bundles(store: Path) -> list[tuple[str, int, Path]]:
    """Name, version and folder of every bundle in a store, sorted. Contents are not read."""
    found = [
        (manifest.parent.parent.name, int(manifest.parent.name), manifest.parent)
        for manifest in store.glob(f"*/*/{MANIFEST}")
        if manifest.parent.name.isdecimal() and MODEL_NAME.fullmatch(manifest.parent.parent.name)
    ]
    return sorted(found)


def find_bundle(store: Path, name: str | None = None, version: int | None = None) -> Path:
    """The folder of a model's bundle: the newest version, unless one is named; the first model, unless one is named.

    Raises:
        UnknownModel: the store has no such bundle; the message lists its bundles and names the model that replaced it.
    """
    bundles = list_bundles(store)
    if name is None and bundles:
        name = bundles[0][0]
    matches = [path for found, number, path in bundles if found == name and version in (None, number)]
    if matches:
        return matches[-1]
    contained = ", ".join(f"{found} {number}" for found, number, _ in bundles) or "no bundle"
    wanted = f"{name or 'any model'}{'' if version is None else f' version {version}'}"
    successor = replacements(store).get(name or "")
    raise UnknownModel(
        f"{wanted} is not in the model store {store}, which contains {contained}{replaced_by(successor)}"
    )


def replacements(store: Path) -> dict[str, str]:
    """Models that are gone from the store, each with the model that lists it under `replaces`."""
    stored = list_bundles(store)
    found: dict[str, str] = {}
    for name, _, path in stored:
        with contextlib.suppress(BundleError):
            found |= dict.fromkeys(read_bundle(path, verify=False).replaces, name)
    present = {name for name, _, _ in stored}
    return {gone: name for gone, name in found.items() if gone not in present}


def replaced_by(successor: str | None) -> str:
    """The end of a message that refuses a model; empty without a successor."""
    return "" if successor is None else f"; {successor} replaced it"


def _replaced(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    names = manifest.get("replaces", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and MODEL_NAME.fullmatch(name) for name in names):
        raise ValueError(f"replaces: {names!r} is not a list of model names")
    return tuple(names)


def _file_names(path: Path) -> list[str]:
    """Every file below `path` except the manifest, as a relative POSIX path."""
    names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return sorted(name for name in names if name != MANIFEST)


def _fingerprint(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "bytes": file.stat().st_size}


def _verify_files(path: Path, manifest: Mapping[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise BundleError(f"{path / MANIFEST} lists no files")
    for name in _file_names(path):
        if name not in files:
            raise BundleError(f"{path / name} is not listed in {MANIFEST}")
    for name, expected in files.items():
        file = path / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise BundleError(f"{path / MANIFEST} lists {name!r}, which is outside the bundle")
        if not file.is_file():
            raise BundleError(f"{file} is listed in {MANIFEST} and missing")
        if _fingerprint(file) != expected:
            raise BundleError(_altered(file))


def _altered(file: Path) -> str:
    return f"{file} was altered: its size or sha256 is not the one in {MANIFEST}"
