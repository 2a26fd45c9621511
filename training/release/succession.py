"""A bundle goes into a model store only if it is better than the one that it would replace there.

The comparison is kept whether it was installed or refused, next to the bundle and in the store, where the server reads
it: `<model>/<version>.comparison.json`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from app.detector.bundle import Bundle, comparison_file, find_bundle, list_bundles, read_bundle
from training.data.annotations import AnnotatedPhoto
from training.measure.head_to_head import Comparison, bundle_folder, compare_bundles
from training.measure.metrics import RESAMPLES
from training.output import write_file
from training.release.install import ReleaseError, install


def install_if_better(
    candidate: Path,
    store: Path,
    photos: Sequence[AnnotatedPhoto],
    *,
    out: Path | None = None,
    trust_unlisted: bool = False,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare a bundle, or that of a run, with the one that it would replace, and install it if it is better.

    Args:
        out: where the comparison is written besides the store; None for next to the bundle.

    Raises:
        ReleaseError: see `replaced_bundle`.
        ComparisonError: the photos cannot tell, see `compare_bundles`; nothing is written.
    """
    bundle = read_bundle(bundle_folder(candidate))
    old = replaced_bundle(bundle, store)
    comparison = compare_bundles(old, bundle.path, photos, trust_unlisted=trust_unlisted, resamples=resamples)
    text = json.dumps(comparison.as_dict(), indent=2) + "\n"
    kept = comparison_file(store / bundle.name / str(bundle.version))
    kept.parent.mkdir(exist_ok=True)
    for path in (kept, out or comparison_file(bundle.path)):
        write_file(path, text)
    if comparison.is_better:
        install(bundle.path, store)
    return comparison


def replaced_bundle(bundle: Bundle, store: Path) -> Path:
    """The newest bundle of the same model in the store, or else of a model that the bundle replaces. Raises
    ReleaseError: there is none, or it has this version already or a later one."""
    stored = {name for name, _, _ in list_bundles(store)}
    name = next((name for name in (bundle.name, *bundle.replaces) if name in stored), None)
    if name is None:
        raise ReleaseError(
            f"{store} has no {' or '.join((bundle.name, *bundle.replaces))} to compare with; install it without "
            "--if-better"
        )
    path = find_bundle(store, name)
    if name == bundle.name and int(path.name) >= bundle.version:
        raise ReleaseError(
            f"{store} has {name} {path.name}, which is as new as version {bundle.version}: package it as version "
            f"{int(path.name) + 1}"
        )
    return path
