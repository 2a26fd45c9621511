import pytest

from tests.training.render.small_mouths import small
from training.render import RenderError, render_mouth


def test_one_seed_is_one_mouth() -> None:
    first, second, other = small(7), small(7), small(8)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.boxes.tobytes() == second.boxes.tobytes()
    assert first.labels == second.labels
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("caries", [0, 1, 3])
def test_the_requested_number_of_teeth_is_carious(caries: int) -> None:
    assert all(small(seed, caries).labels.count("caries") == caries for seed in range(2))


def test_drawn_mouths_are_healthy_and_carious() -> None:
    counts = [small(seed).labels.count("caries") for seed in range(10, 16)]
    assert min(counts) == 0
    assert max(counts) > 1


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(RenderError, match="seed is -1"):
        small(-1)
    with pytest.raises(RenderError, match="from 0 to"):
        small(0, caries=99)
    with pytest.raises(RenderError, match="must be one of retracted"):
        small(0, view="x-ray")
    with pytest.raises(RenderError, match="8 x 240 pixels"):
        render_mouth(0, width=8, height=240)
