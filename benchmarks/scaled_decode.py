"""The loss of accuracy when large JPEGs are decoded scaled, as the server does: AP@.5, scores, reasons and verdicts.

    python -m benchmarks.scaled_decode [--data DIR] [--bundle DIR] [--shorter-side 640] [--photos N] [--out FILE]

Each annotated photo is enlarged to 12 megapixels, saved as a JPEG of quality 95, decoded in full and scaled, and
screened by LiteRT in both precisions.

Writes JSON: `full` and `scaled` are the mean AP@.5 over both classes in the precision where they differ more,
`difference` is scaled minus full, and `precisions` has both.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from app.detector.bundle import TFLITE_MODELS, find_bundle, read_bundle
from app.detector.detections import Detections
from app.detector.runtimes.load import load_runtime
from app.photo.decoding import decode
from app.photo.quality import assess_quality, screened_side
from app.screening import screen
from training.data.annotations import AnnotatedPhoto, read_annotated_photos
from training.measure.coco import average_precisions, coco_evaluation

ROOT = Path(__file__).parents[1]
MEGAPIXELS = 12.0


def main() -> int:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data" / "tooth-photos")
    parser.add_argument("--bundle", type=Path, help="default: the one served by default")
    parser.add_argument("--shorter-side", type=int, help="minimum in pixels after scaling (default: as the server)")
    parser.add_argument("--photos", type=int, help="only the first N")
    parser.add_argument("--out", type=Path, help="file for the JSON")
    arguments = parser.parse_args()
    bundle = read_bundle(arguments.bundle or find_bundle(ROOT / "model_store"))
    shorter_side = arguments.shorter_side or screened_side(bundle.input_height, bundle.input_width)
    photos = read_annotated_photos(arguments.data)[: arguments.photos]
    runtimes = {name: load_runtime(bundle, "litert", precision=name) for name in TFLITE_MODELS}
    found: dict[str, tuple[list[Detections], list[Detections]]] = {name: ([], []) for name in runtimes}
    other_reasons, other_verdicts = 0, dict.fromkeys(runtimes, 0)
    for photo in tqdm(photos, unit="photo"):
        data = enlarged(photo)
        both = decode(data), decode(data, shorter_side=shorter_side)
        qualities = [assess_quality(way.pixels, shorter_side=min(way.width, way.height)) for way in both]
        other_reasons += qualities[0].reasons != qualities[1].reasons
        for name, runtime in runtimes.items():
            verdicts = []
            for decoded, quality, detections in zip(both, qualities, found[name], strict=True):
                detections.append(runtime.detect(decoded.pixels))
                screening = screen(
                    detections[-1],
                    quality,
                    screened_class_id=bundle.screened_class_id,
                    score_threshold=bundle.operating_point.score_threshold,
                )
                verdicts.append(screening.verdict)
            other_verdicts[name] += verdicts[0] != verdicts[1]
    precisions = {name: compared(photos, *ways) for name, ways in found.items()}
    worst = max(precisions.values(), key=lambda figures: abs(figures["difference"]))
    result = {
        **{key: worst[key] for key in ("full", "scaled", "difference")},
        "photos": len(photos),
        "shorter_side": shorter_side,
        "other_reasons": other_reasons,
        "precisions": {
            name: {**figures, "other_verdicts": other_verdicts[name]} for name, figures in precisions.items()
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    return 0


def enlarged(photo: AnnotatedPhoto) -> bytes:
    """The photo enlarged to `MEGAPIXELS`, as a JPEG."""
    image = Image.fromarray(decode(photo.path.read_bytes()).pixels)
    scale = (MEGAPIXELS * 1e6 / (image.width * image.height)) ** 0.5
    out = io.BytesIO()
    large = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    large.save(out, "JPEG", quality=95)
    return out.getvalue()


def compared(photos: Sequence[AnnotatedPhoto], full: list[Detections], scaled: list[Detections]) -> dict[str, Any]:
    """AP@.5 of both decodings, and the largest difference among the ten best scores of a photo."""
    values = [average_precisions(coco_evaluation(photos, ways)) for ways in (full, scaled)]
    apart = [np.abs(a.scores[:10] - b.scores[:10]).max() for a, b in zip(full, scaled, strict=True)]
    return {
        "full": values[0]["mAP@.5"],
        "scaled": values[1]["mAP@.5"],
        "difference": values[1]["mAP@.5"] - values[0]["mAP@.5"],
        "by_class": {name: [value[name] for value in values] for name in values[0] if name.startswith("AP@.5")},
        "scores_apart": {"median": float(np.median(apart)), "highest": float(np.max(apart))},
    }


if __name__ == "__main__":
    sys.exit(main())
