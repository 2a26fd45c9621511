"""Copies of a bundle that differ in what a comparison depends on."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from app.detector.bundle import Bundle, read_bundle, write_manifest
from training.data.annotations import AnnotatedPhoto
from training.data.seen_photos import SEEN_PHOTOS, SeenPhotos, seen_by_training

BLIND_THRESHOLD = 0.999
"""At which a detector finds nothing."""


def altered(
    bundle: Bundle,
    store: Path,
    *,
    version: int,
    name: str | None = None,
    threshold: float | None = None,
    trained: Sequence[AnnotatedPhoto] | None = (),
    calibrated: Sequence[AnnotatedPhoto] = (),
    unlisted: Sequence[str] = (),
    replaces: Sequence[str] = (),
) -> Path:
    """A copy in a store with a version, another threshold, and a list of the photos that it has seen unless `trained`
    is None."""
    folder = store / (name or bundle.name) / str(version)
    shutil.copytree(bundle.path, folder)
    (folder / SEEN_PHOTOS).unlink(missing_ok=True)
    if trained is not None:
        SeenPhotos(seen_by_training(trained, calibrated).photos, unlisted).write(folder / SEEN_PHOTOS)
    (folder / "bundle.json").unlink()
    manifest = {**bundle.manifest, "model": {"name": name or bundle.name, "version": version}}
    if replaces:
        manifest["replaces"] = list(replaces)
    if threshold is not None:
        del manifest["operating_points"]
        manifest["operating_point"] = {**bundle.manifest["operating_point"], "score_threshold": threshold}
    write_manifest(folder, {key: value for key, value in manifest.items() if key not in ("files", "format_version")})
    return read_bundle(folder).path
