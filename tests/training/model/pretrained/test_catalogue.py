from tests.training.model.pretrained.pretrained_server import NAME
from training.model.pretrained.catalogue import credit


def test_credits_follow_the_weights() -> None:
    assert credit("none") == "none"
    assert "openpibo" in credit("coco-backbone")
    assert NAME in credit(NAME)
    assert credit("runs/mine/checkpoints") == "your own checkpoint, checkpoints."
