"""The documents say what the code does."""

import re
from collections import Counter
from pathlib import Path

import pytest

from app.api.problems import BY_SLUG
from app.bundle import list_bundles, read_bundle
from app.metrics import Metrics
from app.settings import describe

ROOT = Path(__file__).parents[1]

READMES = ["README.md", "README.ko.md"]

FIGURES = (
    "mAP@.5:.95",
    "mAP@.5",
    "AP@.5 normal",
    "AP@.5 caries",
    "best F1 caries",
    "FROC sensitivity at 2",
    "photo AUC",
    "photo sensitivity",
    "photo specificity",
    "class right on found teeth",
    "calibration error",
)
"""What a reader is told at least."""


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
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    told = {row[0]: row[1:5] for row in rows if len(row) == 7}
    bundles = [read_bundle(path, verify=False) for _, _, path in list_bundles(model_store)]
    models = [
        bundle.manifest["metrics"]["models"][precision] for bundle in bundles for precision in ("float32", "int8")
    ]
    for figure in FIGURES:
        held = [(model["figures"][figure]["value"], *model["figures"][figure]["interval"]) for model in models]
        assert told[figure] == [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in held]


def test_both_readmes_hold_the_same_numbers() -> None:
    """All of two digits or more; a single one may be a word in the other language, and Korean counts pixels in 만."""
    texts = [(ROOT / name).read_text(encoding="utf-8").replace("6,400만 화소", "64 megapixels") for name in READMES]
    numbers = [Counter(re.findall(r"\d[\d.,]*\d", text)) for text in texts]
    assert numbers[0] == numbers[1]
