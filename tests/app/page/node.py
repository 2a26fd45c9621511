"""The page's built rule, run by Node."""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.page.built_files import FOLDER, PARTS

SCRIPT = """
import { readFileSync } from "node:fs";
const rule = await import(process.argv[1]);
const results = JSON.parse(readFileSync(0)).map(({ evidence, options, width, height }) => {
  const { verdict, reasons, teethSeen, shown, hiddenByMaxBoxes } = rule.screen(evidence, options);
  const detections = shown.map(({ corners, score, classId }) => ({
    class_id: classId, score: rule.rounded(score, 4), box: rule.pixels(corners, width, height),
  }));
  return { verdict, reasons, teeth_seen: teethSeen, detections, hidden_by_max_boxes: hiddenByMaxBoxes };
});
const { screen, pixels, rounded, ...bounds } = rule;
console.log(JSON.stringify({ results, bounds }));
"""


def run_rule(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`results`: for each case the answer's fields that the rule decides; `bounds`: its constants.

    A case has `evidence` as in the server's answer, the rule's `options`, and the photo's `width` and `height`.
    """
    node = shutil.which("node") or _playwrights_node()
    if node is None:
        pytest.skip("Node is not installed, nor is Playwright, which contains it")
    (rule,) = (FOLDER / PARTS).glob("rule-*.js")
    command = [node, "--input-type=module", "-e", SCRIPT, rule.as_uri()]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _playwrights_node() -> str | None:
    package = importlib.util.find_spec("playwright")
    if package is None or package.origin is None:
        return None
    return shutil.which("node", path=Path(package.origin).parent / "driver")
