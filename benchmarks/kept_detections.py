"""Keep the detections of the shipped models on fold 0, from which the tests recompute the figures of the bundle, and
draw the curves of docs/quality.md from them.

    python -m benchmarks.kept_detections --data tooth-photos --data dentalai --data ahmed2025
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from app.detector.bundle import find_bundle, read_bundle
from training.data.pooling import read_sets
from training.measure.cross_fitting import cross_fit
from training.measure.plots import write_plots
from training.measure.predictions import load_exported, predict, save_predictions

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "data" / "fold_0"
SHOWN = ("precision_recall.png", "froc.png", "reliability.png")
"""In docs/quality.md."""


def main() -> None:
    """Write a file for each TFLite model, and the plots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    arguments = parser.parse_args()
    photos = [photo for photo in read_sets(arguments.data).photos if photo.fold == 0]
    bundle = read_bundle(find_bundle(ROOT / "model_store"))
    KEPT.mkdir(parents=True, exist_ok=True)
    for model in ("float32", "int8"):
        runtime = load_exported(bundle.path, model, bundle.input_height, bundle.input_width)
        found = predict(runtime, photos, name=model)
        by_name = {photo.path.name: one for photo, one in zip(photos, found, strict=True)}
        save_predictions(by_name, KEPT / f"{model}.npz")
        if model == "float32":
            with tempfile.TemporaryDirectory() as folder:
                for plot in write_plots(cross_fit(photos, found).assess(resamples=2), Path(folder)):
                    if plot.name in SHOWN:
                        shutil.copy(plot, ROOT / "docs" / "quality")


if __name__ == "__main__":
    main()
