from training.render import RenderedMouth, render_mouth

WIDTH, HEIGHT = 320, 240


def small(seed: int, caries: int | None = None, view: str | None = None) -> RenderedMouth:
    return render_mouth(seed, width=WIDTH, height=HEIGHT, caries=caries, view=view)
