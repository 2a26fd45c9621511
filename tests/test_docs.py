"""The documents say what the code does."""

import ast
import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest

from app.api.problems import BY_SLUG
from app.process.metrics import Metrics
from app.settings import Settings, describe
from benchmarks.shipped_figures import PAGES, READMES, shipped_figures, shown_figures, with_figures

ROOT = Path(__file__).parents[1]
PAGE_FILES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_every_setting_is_documented_as_it_is() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert f"```\n{describe(Settings())}\n```" in text, "run: caries settings"


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    families = {family.name: family for family in Metrics().registry.collect() if family.name.startswith("caries_")}
    assert len(families) > 10
    for name, family in families.items():
        assert f"`{name}{'_total' if family.type == 'counter' else ''}`" in text, name


WRITTEN_BY_USERS = {"deploy/monitoring/key", "deploy/orthanc/key"}
PROBLEM = re.compile(r"^\| (\d{3}) `([a-z-]+)`", re.MULTILINE)


def test_every_problem_is_documented() -> None:
    listed = PROBLEM.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted((str(problem.status), slug) for slug, problem in BY_SLUG.items())


def test_problems_in_the_troubleshooting_table_exist() -> None:
    listed = PROBLEM.findall((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    assert len(listed) > 7
    for status, slug in listed:
        assert BY_SLUG[slug].status == int(status)


@pytest.mark.parametrize("page", PAGE_FILES, ids=lambda page: page.name)
def test_links_lead_to_files(page) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert links or page.name not in READMES
    for link in links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
            assert anchor in anchors, link


@pytest.mark.parametrize("page", PAGE_FILES, ids=lambda page: page.name)
def test_files_modules_and_functions_named_in_code_exist(page: Path) -> None:
    """`app/photo/`, `tests/app/test_cli.py`, `python -m benchmarks.fuzz`, `app.screening.screen` and the like."""
    code = "\n".join(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
    for path in re.findall(r"(?<![\w./])(?:app|training|benchmarks|tests|deploy|examples)/[\w./-]+", code):
        exists = any((base / path).exists() for base in (ROOT, ROOT / "tests"))
        assert exists or "NAME" in path or path in WRITTEN_BY_USERS, path
    for name in re.findall(r"(?<![\w./])(?:app|training|benchmarks|tests)(?:\.\w+)+", code):
        assert is_defined(name), name


def is_defined(name: str) -> bool:
    """Whether the sources have a module, function, class, method or constant of this dotted name; imports nothing."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.exists():
            return _defines(ast.parse(file.read_text(encoding="utf-8")), parts[length:])
    return False


def _defines(tree: ast.Module | ast.ClassDef, names: list[str]) -> bool:
    if not names:
        return True
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name == names[0]:
                return len(names) == 1
            case ast.ClassDef(name=name) if name == names[0]:
                return _defines(node, names[1:])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name == names[0]:
                return len(names) == 1
    return False


def test_every_module_has_the_test_file_that_contributing_promises() -> None:
    """`app/photo/png.py` has `tests/app/photo/test_png.py`, `app/__main__.py` has `tests/app/test_main.py`."""
    modules = [path.relative_to(ROOT) for package in ("app", "training") for path in (ROOT / package).rglob("*.py")]
    mirrors = {
        path: Path("tests") / path.parent / f"test_{path.stem.strip('_')}.py"
        for path in modules
        if path.name != "__init__.py"
    }
    assert len(mirrors) > 100
    assert [f"{path}: {mirror} is missing" for path, mirror in mirrors.items() if not (ROOT / mirror).exists()] == []


@pytest.mark.parametrize(("heading", "package"), [("Steps of a photo", "app"), ("Steps of a training run", "training")])
def test_a_photo_and_a_training_run_have_few_steps(heading: str, package: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    steps = re.findall(rf"^\d+\. `({package}[\w.]+)`", section, re.MULTILINE)
    assert 8 <= len(steps) <= 12
    assert len(set(steps)) == len(steps)
    assert all(is_defined(name) for name in steps)
    if package == "app":
        assert all(callable(pkgutil.resolve_name(name)) for name in steps)


@pytest.mark.parametrize("name", READMES)
def test_make_targets_and_routes_exist(name) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    from app.api import create_app

    served = set(create_app(Settings()).openapi()["paths"]) | {"/docs", "/metrics"}
    for path in re.findall(r"`(?:GET|POST) (/[^`]*)`", text):
        assert path in served, path


@pytest.mark.parametrize("name", PAGES)
def test_figures_are_those_of_the_shipped_bundles(name: str, model_store: Path) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    figures = shipped_figures(model_store, PAGES[name])
    assert len(figures) >= 4
    assert shown_figures(text, figures) == figures, "run: python -m benchmarks.shipped_figures"
    assert with_figures(text, figures) == text


@pytest.mark.parametrize("name", READMES)
def test_cost_in_the_readmes_is_that_of_the_quality_page(name: str) -> None:
    """The page has the commands, and a row with times and memory, float32 before int8."""
    quality = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    text = (ROOT / name).read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| 320 .* ms \| .* MB .*$", quality, re.MULTILINE)
    values = re.findall(r"[\d.]+(?= ms| MB)", row)
    for unit, first in (("ms", 0), ("MB", 2)):
        assert re.search(rf"float32 / int8: {values[first]} / {values[first + 1]} {unit}", text), unit


@pytest.mark.parametrize("name", READMES)
def test_readmes_are_short(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8").split()) <= 700


def test_figures_are_written_where_they_stand() -> None:
    page = "| figure | 320, int8 | human |\n|---|---|---|\n| mAP@.5 | 0.1 [0.0, 0.2] | 0.7 |\n\nmAP@.5 | is text\n"
    written = with_figures(page, {"mAP@.5": ["0.500 [0.400, 0.600]"]})
    assert written == page.replace("0.1 [0.0, 0.2]", "0.500 [0.400, 0.600]")


def test_both_readmes_have_the_same_numbers() -> None:
    """All of two digits or more; a single one may be a word in the other language, and Korean counts pixels in 만."""
    texts = [(ROOT / name).read_text(encoding="utf-8").replace("6,400만 화소", "64 megapixels") for name in READMES]
    numbers = [Counter(re.findall(r"\d[\d.,]*\d", text)) for text in texts]
    assert numbers[0] == numbers[1]
