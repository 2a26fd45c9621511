"""The documents say what the code does."""

import re
from collections import Counter
from pathlib import Path

import pytest

from app.api.problems import BY_SLUG
from app.process.metrics import Metrics
from app.settings import describe
from benchmarks.shipped_figures import READMES, shipped_figures, told_figures, with_figures

ROOT = Path(__file__).parents[1]


def test_every_setting_is_documented_as_it_is() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert f"```\n{describe()}\n```" in text, "run: caries settings"


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    families = {family.name: family for family in Metrics().registry.collect() if family.name.startswith("caries_")}
    assert len(families) > 10
    for name, family in families.items():
        assert f"`{name}{'_total' if family.type == 'counter' else ''}`" in text, name


def test_every_problem_that_operators_are_told_about_exists() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d{3}) `([a-z-]+)`", text, re.MULTILINE)
    assert len(told) > 7
    for status, slug in told:
        assert BY_SLUG[slug].status == int(status)


@pytest.mark.parametrize("page", [*(ROOT / name for name in READMES), *sorted((ROOT / "docs").glob("*.md"))], ids=str)
def test_links_lead_to_files(page) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert links or page.name not in READMES
    for link in links:
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize("name", READMES)
def test_make_targets_and_routes_exist(name) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    from app.api import create_app
    from app.settings import Settings

    served = set(create_app(Settings()).openapi()["paths"]) | {"/docs", "/metrics"}
    for path in re.findall(r"`(?:GET|POST) (/[^`]*)`", text):
        assert path in served, path


@pytest.mark.parametrize("name", READMES)
def test_figures_are_those_of_the_shipped_bundles(name, model_store) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    figures = shipped_figures(model_store)
    assert told_figures(text, len(figures["mAP@.5"])) == figures, "run: python -m benchmarks.shipped_figures"
    assert with_figures(text, figures) == text


def test_figures_are_written_where_they_stand() -> None:
    page = "| figure | 320, int8 | human |\n|---|---|---|\n| mAP@.5 | 0.1 [0.0, 0.2] | 0.7 |\n\nmAP@.5 | is text\n"
    written = with_figures(page, {"mAP@.5": ["0.500 [0.400, 0.600]"]})
    assert written == page.replace("0.1 [0.0, 0.2]", "0.500 [0.400, 0.600]")


def test_both_readmes_hold_the_same_numbers() -> None:
    """All of two digits or more; a single one may be a word in the other language, and Korean counts pixels in 만."""
    texts = [(ROOT / name).read_text(encoding="utf-8").replace("6,400만 화소", "64 megapixels") for name in READMES]
    numbers = [Counter(re.findall(r"\d[\d.,]*\d", text)) for text in texts]
    assert numbers[0] == numbers[1]
