import re

from tests.conftest import ROOT
from training import errors


def test_the_tree_lists_every_error() -> None:
    defined = {
        name
        for path in (ROOT / "training").rglob("*.py")
        for name in re.findall(r"^class (\w+)\(TrainingError\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert set(re.findall(r"── (\w+)", errors.__doc__ or "")) == defined
