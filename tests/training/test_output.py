import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from training.output import file_sha256, markdown_table, plot_png, plot_svg, write_file


def test_an_interrupted_write_leaves_the_earlier_content(tmp_path, monkeypatch) -> None:
    path = write_file(tmp_path / "figures.md", "mAP 0.7 ±")
    assert path.read_text(encoding="utf-8") == "mAP 0.7 ±"

    def interrupted(partial: Path, content: bytes) -> int:
        with partial.open("wb") as file:
            file.write(content[:3])
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", interrupted)
        with pytest.raises(OSError, match="no space left"):
            write_file(path, "mAP 0.8")
    assert path.read_text(encoding="utf-8") == "mAP 0.7 ±"
    assert write_file(path, b"mAP 0.9").read_bytes() == b"mAP 0.9"
    assert file_sha256(path) == hashlib.sha256(b"mAP 0.9").hexdigest()


def test_a_table_has_a_row_for_each_row() -> None:
    table = markdown_table(["figure", "value"], [["mAP", "0.7"], ["F1", ""]])
    assert table == "| figure | value |\n|---|---|\n| mAP | 0.7 |\n| F1 |  |\n"
    assert markdown_table(["figure"], []) == "| figure |\n|---|\n"


def test_a_plot_is_a_png_of_the_size_asked_for_without_its_software() -> None:
    png = plot_png(lambda axes, values: axes.plot(values), [1, 3, 2], (3.0, 2.0), 50)
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.size) == ("PNG", (150, 100))
        assert "Software" not in picture.info


def test_equal_plots_are_equal_svg_files() -> None:
    first, second = (plot_svg(lambda axes, values: axes.plot(values), [1, 3, 2], (3.0, 2.0)) for _ in range(2))
    assert b"<svg" in first
    assert first == second
