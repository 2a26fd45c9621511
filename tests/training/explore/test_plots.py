from PIL import Image


def test_every_figure_is_also_a_png_file(report, page) -> None:
    names = {path.stem for path in report.glob("*.png")}
    assert {"box_sizes", "box_areas", "aspect_ratios", "unreached_by_size", "best_anchors", "sharpness"} <= names
    assert {"teeth_caries", "teeth_normal", "photos_with_caries", "look_alikes_1", "darkest"} <= names
    assert len(names) == len(page.alternatives)
    for path in report.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 20
    assert {path.suffix for path in report.iterdir()} == {".png", ".json", ".html"}
