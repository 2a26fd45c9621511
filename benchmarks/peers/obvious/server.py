"""The obvious server: FastAPI, the SavedModel, Pillow. `python -m benchmarks.peers.obvious.server PORT best`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import FastAPI, Header, UploadFile
from fastapi.responses import Response
from PIL import Image, ImageDraw

from app.detector.bundle import find_bundle, read_bundle

ROOT = Path(__file__).parents[3]

app = FastAPI()
bundle = read_bundle(find_bundle(ROOT / "model_store"), verify=False)
model = tf.saved_model.load(str(bundle.path))
THRESHOLD = bundle.operating_point.score_threshold


@app.post("/detect", response_model=None)
def detect(file: UploadFile, accept: Annotated[str, Header()] = "application/json") -> dict[str, Any] | Response:
    """Boxes as JSON, or drawn into the photo."""
    picture = Image.open(io.BytesIO(file.file.read())).convert("RGB")
    outputs = model.signatures["serving_default"](tf.constant(np.asarray(picture)[np.newaxis]))
    boxes, scores, classes = (
        outputs[name][0].numpy() for name in ("detection_boxes", "detection_scores", "detection_classes")
    )
    kept = [
        (box, score)
        for box, score, class_id in zip(boxes, scores, classes, strict=True)
        if score >= THRESHOLD and int(class_id) == bundle.screened_class_id
    ][:5]
    if accept != "image/png":
        return {"boxes": [[*map(float, box), float(score)] for box, score in kept]}
    draw = ImageDraw.Draw(picture)
    for (ymin, xmin, ymax, xmax), score in kept:
        corners = (xmin * picture.width, ymin * picture.height, xmax * picture.width, ymax * picture.height)
        draw.rectangle(corners, outline="red", width=3)
        draw.text((corners[0], max(0, corners[1] - 12)), f"caries {score:.2f}", fill="red")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return Response(out.getvalue(), media_type="image/png")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
