"""Screen an archive on a Ray cluster. A second call screens what the first one left."""

import logging
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from app.archive.listing import Failure, absolute, list_archive
from app.archive.plan import Plan
from app.archive.results import Results
from app.archive.shards import ShardScreener, item
from app.cluster import cores, join
from app.detector.bundle import TFLITE_MODELS, Bundle, find_bundle, read_bundle
from app.detector.precision import PrecisionChooser
from app.detector.runtimes.litert import time_models
from app.errors import ClusterError
from app.screen_photo import Options
from app.settings import Precision, RuntimeKind, Settings

MAX_SHARD = 128
"""Photos of a shard: what a killed actor has to do again, some ten seconds."""

SHARDS_PER_CORE = 4
"""At least, if there are enough photos, so that all cores end at about the same time."""


def detect_archive(
    inputs: Iterable[str], out: str, options: Options, settings: Settings, address: str
) -> list[Failure]:
    """Screen photos into the folder `out`, see `app.archive.results`, with one detector for each core of the cluster.

    Args:
        inputs: see `list_archive`.
        out: a local path, which all nodes must see, or a URL.
        options: with the media type of the annotated pictures, if any are wanted.
        settings: each node must have their model at the same path.
        address: see `app.cluster.join`.

    Returns:
        The inputs and photos that failed, those of earlier calls too, each with the reason.

    Raises:
        CariesError: the model cannot be used, the cluster does not answer or fails, or `out` cannot be used.
    """
    bundle = read_bundle(find_bundle(settings.model_store, settings.model, settings.model_version))
    photos, failures = list_archive(inputs, out)
    if not photos:
        return failures
    results = Results(absolute(out))
    earlier = results.read_plan()
    settings = _settings_of_all_nodes(settings, bundle, earlier)
    asked = _asked(bundle, options, settings)
    plan = earlier or Plan(asked)
    plan.check_same(asked, out)
    ray = join(address)
    size = min(MAX_SHARD, math.ceil(len(photos) / (SHARDS_PER_CORE * cores(ray))))
    plan = plan.extended(photos, size)
    results.write_plan(plan)
    finished = results.finished()
    left = [item(number, shard) for number, shard in enumerate(plan.shards) if number not in finished]
    if left:
        from tqdm import tqdm

        done = sum(len(shard) for number, shard in enumerate(plan.shards) if number in finished)
        with tqdm(total=plan.photos, initial=done, unit="photo", file=sys.stderr) as bar:
            arguments = (settings, options, results.out, bundle.sha256)
            try:
                for row in _screened(ray, left, arguments):
                    bar.update(int(row["photos"]))
            except ray.exceptions.RayError as error:
                raise ClusterError(f"the cluster could not screen all photos; the last error was: {error}") from error
    return [*failures, *results.failures()]


def _screened(ray: Any, shards: list[dict[str, Any]], arguments: tuple[object, ...]) -> Iterable[dict[str, Any]]:
    """The shards as they are done, in any order."""
    import ray.data as data  # the submodule is not imported by `ray`

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    data.DataContext.get_current().enable_progress_bars = False
    count = min(cores(ray), len(shards))
    screened: Iterable[dict[str, Any]] = (
        data.from_items(shards, override_num_blocks=len(shards))
        .map_batches(
            ShardScreener,
            fn_constructor_args=arguments,
            batch_size=1,
            num_cpus=1,
            compute=data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count),
        )
        .iter_rows()
    )
    return screened


def _settings_of_all_nodes(settings: Settings, bundle: Bundle, earlier: Plan | None) -> Settings:
    """With one runtime and one precision, so that the answers depend neither on the node nor on the call."""
    runtime = RuntimeKind.LITERT if settings.runtime is RuntimeKind.AUTO and bundle.precisions else settings.runtime
    precision = settings.precision
    if earlier is not None and precision is Precision.AUTO:
        precision = Precision(earlier.asked["precision"])
    chooser = PrecisionChooser(bundle, precision, litert=runtime is RuntimeKind.LITERT, state=settings.state)
    return replace(settings, runtime=runtime, precision=chooser.choose(lambda: _times(bundle)))


def _times(bundle: Bundle) -> dict[str, float]:
    return time_models({name: bundle.tflite(name) for name in TFLITE_MODELS})


def _asked(bundle: Bundle, options: Options, settings: Settings) -> dict[str, Any]:
    """What must be the same in each call."""
    return {
        "model": f"{bundle.name} {bundle.version}",
        "model_sha256": bundle.sha256,
        "precision": settings.precision.value,
        "operating_point": settings.operating_point,
        **{name: value for name, value in asdict(options).items() if value is not None},
    }
