from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.detector.bundle import Bundle

SUMMARY = "verify a bundle or models.tar.gz and install it in a model store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="a bundle, a model store, or an archive of one")
    parser.add_argument("--store", type=Path, required=True, help="the model store; created if missing")
    parser.add_argument("--sha256", help="expected of the archive (default: from FILE.sha256 next to it)")
    parser.add_argument("--replace", action="store_true", help="replace a bundle of the same version")


def run(arguments: argparse.Namespace) -> None:
    from training.release.install import install

    for bundle, is_new in install(
        arguments.source, arguments.store, sha256=arguments.sha256, replace=arguments.replace
    ):
        state = "installed" if is_new else "is already installed"
        threshold = bundle.operating_point.score_threshold
        print(f"{bundle.name} {bundle.version} {state}, threshold {threshold:g}: {bundle.path}")
        if settings := _settings_for(bundle, arguments.store):
            print(f"  a server of this store serves it with {settings}")


def _settings_for(bundle: Bundle, store: Path) -> str:
    """The settings with which a server serves a bundle of its store; empty if it needs none."""
    from app.detector.bundle import find_bundle

    if bundle.path == find_bundle(store):
        return ""
    newest = find_bundle(store, bundle.name)
    if bundle.path == newest:
        return f"CARIES_MODEL={bundle.name}"
    return f"CARIES_MODEL={bundle.name} CARIES_MODEL_VERSION={bundle.version}: {newest.name} is newer"
