from tests.conftest import needs_training
from tests.training.model.pretrained.pretrained_server import NAME
from training.cli import main


@needs_training
def test_the_list_shows_which_weights_are_here(tmp_path, capsys) -> None:
    assert main(["pretrained", "list", "--cache", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "coco-backbone\n    ssd_mobilenet_v2_fpnlite, 300 pixels, classification\n    installed, 66 MiB" in out
    assert f"python -m training pretrained fetch {NAME}" in out
