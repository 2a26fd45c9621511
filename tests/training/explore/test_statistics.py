import numpy as np
import pytest

from training.data.annotations import read_annotated_photos


def test_the_numbers_are_those_of_the_photos(facts, page, labelled) -> None:
    photos = read_annotated_photos(labelled)
    boxes = np.concatenate([photo.boxes for photo in photos])
    class_ids = np.concatenate([photo.class_ids for photo in photos])
    heights, widths = (boxes[:, 2] - boxes[:, 0]) * 320, (boxes[:, 3] - boxes[:, 1]) * 320
    caries = int((class_ids == 2).sum())
    assert facts["photos"] == len(photos) == 10
    assert facts["photos_with_caries"] + facts["photos_without_caries"] == 10
    assert facts["boxes"] == {"normal": len(boxes) - caries, "caries": caries}
    assert facts["photos_in_folds"] == [fold["photos"] for fold in facts["folds"]]
    assert sum(fold["boxes"]["caries"] for fold in facts["folds"]) == caries
    assert facts["look_alike_groups"] == {"<b>one</b>": 2}
    assert facts["groups"] == 9
    assert facts["photo_longer_side"]["p50"] == 240
    for name, values in (
        ("box_aspect_ratio", widths / heights),
        ("box_area", widths * heights),
        ("box_shorter_side", np.minimum(widths, heights)),
        ("box_longer_side", np.maximum(widths, heights)),
    ):
        assert facts[name]["p50"] == pytest.approx(np.median(values), rel=1e-3)
        assert facts["by_class"]["caries"][name]["p50"] == pytest.approx(np.median(values[class_ids == 2]), rel=1e-3)
    assert [item["boxes"]["normal"] + item["boxes"]["caries"] for item in facts["each_photo"]] == [
        len(photo.boxes) for photo in photos
    ]
    assert f"{caries} ({caries / len(boxes):.1%})" in page.text
    assert f"Of {len(boxes)} teeth" in page.text


def test_anchors_are_counted_once_for_each_tooth(facts, page) -> None:
    boxes = sum(facts["boxes"].values())
    unreached = round(facts["unreached"] * boxes)
    assert sum(shape["best_for"] for shape in facts["anchor_shapes"]) == boxes
    assert len(facts["anchor_shapes"]) == 30
    assert sum(entry["boxes"] for entry in facts["unreached_by_size"]) == boxes
    assert sum(entry["unreached"] for entry in facts["unreached_by_size"]) == unreached
    for entry in facts["unreached_by_size"]:
        assert entry["boxes"] == entry["normal"]["boxes"] + entry["caries"]["boxes"]
    assert f"({unreached} of {boxes})" in page.text
