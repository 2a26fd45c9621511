"""The plots of the report: distributions over photos and teeth, with the anchors laid over them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from app.photo.quality import MAX_LUMINANCE, MIN_LUMINANCE, MIN_SHARPNESS
from training.data.annotations import CLASS_IDS
from training.explore.statistics import Statistics
from training.model.anchors import MATCH_IOU

SIZE_INCHES = (5.6, 3.7)
TALL_INCHES = (5.6, 5.6)
"""Of the plot that has a row for each anchor shape."""

DOTS_PER_INCH = 110

COLOURS = {"normal": "#009e73", "caries": "#d55e00"}
NEUTRAL = "#0072b2"
"""Of Okabe and Ito's colour-blind-safe palette."""

BINS = 40

_Plot = Callable[[Any, Statistics], None]


def plot_all(statistics: Statistics) -> dict[str, bytes]:
    """The plots as PNG, by name. Without boxes only those of the photos."""
    from matplotlib.figure import Figure

    pictures = {}
    for name, draw in {**_OF_PHOTOS, **(_OF_BOXES if len(statistics.class_ids) else {})}.items():
        size = TALL_INCHES if draw is _best_anchors else SIZE_INCHES
        figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
        draw(figure.add_subplot(), statistics)
        encoded = io.BytesIO()
        figure.savefig(encoded, format="png", metadata={"Software": None})
        pictures[name] = encoded.getvalue()
    return pictures


def _boxes_per_photo(axes: Any, statistics: Statistics) -> None:
    counts = statistics.boxes_per_photo
    bins = np.arange(counts.max(initial=0) + 2) - 0.5
    carious = statistics.shows_caries
    axes.hist(
        [counts[~carious], counts[carious]],
        bins=bins,
        stacked=True,
        color=[COLOURS["normal"], COLOURS["caries"]],
        label=["photos without caries", "photos with caries"],
    )
    axes.set(xlabel="labelled teeth", ylabel="photos", title="Teeth in a photo")
    axes.legend()


def _photo_sizes(axes: Any, statistics: Statistics) -> None:
    axes.plot(
        [photo.width for photo in statistics.photos],
        [photo.height for photo in statistics.photos],
        "o",
        color=NEUTRAL,
        alpha=0.4,
        markersize=4,
    )
    size = statistics.anchors.input_size
    axes.plot(size, size, "k+", markersize=14, label=f"model's input, {size} x {size}")
    axes.set(xlabel="width, pixels", ylabel="height, pixels", title="Photos")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()


def _box_sizes(axes: Any, statistics: Statistics) -> None:
    reached = ~statistics.reached.unreached
    for name, class_id in CLASS_IDS.items():
        chosen = statistics.class_ids == class_id
        for these, marker, label in ((chosen & reached, ".", name), (chosen & ~reached, "x", f"{name}, not reached")):
            axes.plot(
                statistics.widths[these],
                statistics.heights[these],
                marker,
                color=COLOURS[name],
                alpha=0.35 if marker == "." else 1,
                markersize=3 if marker == "." else 5,
                label=label,
            )
    shapes = statistics.reached.shapes
    axes.plot(shapes[:, 1], shapes[:, 0], "k+", markersize=9, label="anchors")
    axes.set(xscale="log", yscale="log", xlabel="width, pixels", ylabel="height, pixels")
    axes.set_title(f"Teeth and anchors at {statistics.anchors.input_size} pixels")
    axes.legend(fontsize="small")


def _shorter_sides(axes: Any, statistics: Statistics) -> None:
    _sizes(axes, statistics, statistics.shorter_sides, statistics.reached.shapes.min(axis=1), "shorter side, pixels")


def _longer_sides(axes: Any, statistics: Statistics) -> None:
    _sizes(axes, statistics, statistics.longer_sides, statistics.reached.shapes.max(axis=1), "longer side, pixels")


def _areas(axes: Any, statistics: Statistics) -> None:
    _sizes(axes, statistics, statistics.areas, statistics.reached.shapes.prod(axis=1), "area, square pixels")


def _sizes(
    axes: Any,
    statistics: Statistics,
    values: npt.NDArray[np.float64],
    of_anchors: npt.NDArray[np.float64],
    words: str,
) -> None:
    low, high = min(values.min(), of_anchors.min()), max(values.max(), of_anchors.max())
    _by_class(axes, statistics, values, np.geomspace(low, high, BINS))
    for value in np.unique(of_anchors.round(1)):
        axes.axvline(value, color="black", linewidth=0.6, alpha=0.7)
    axes.set(xscale="log", xlabel=f"{words}; lines: anchors", ylabel="teeth")
    axes.set_title(f"Teeth at {statistics.anchors.input_size} pixels: {words.partition(',')[0]}")


def _aspect_ratios(axes: Any, statistics: Statistics) -> None:
    ratios = statistics.aspect_ratios
    anchors = statistics.anchors.aspect_ratios
    _by_class(
        axes,
        statistics,
        ratios,
        np.geomspace(min(ratios.min(), *anchors) * 0.95, max(ratios.max(), *anchors) * 1.05, BINS),
    )
    for ratio in anchors:
        axes.axvline(ratio, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="width over height; lines: anchors", ylabel="teeth", title="Aspect ratios")
    ticks = [tick for tick in (0.1, 0.2, 0.35, 0.5, 1, 2, 4) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    above = axes.secondary_xaxis("top")
    above.set_xticks(ticks, [f"{1 / tick:.3g}" for tick in ticks])
    above.set_xticks([], minor=True)
    above.set_xlabel("height over width")


def _anchor_reach(axes: Any, statistics: Statistics) -> None:
    _by_class(axes, statistics, statistics.reached.iou, np.linspace(0, 1, BINS + 1))
    axes.axvline(MATCH_IOU, color="black", linewidth=1)
    axes.set(
        xlabel="IoU with the best anchor; line: matched from here on", ylabel="teeth", title="Reach of the anchors"
    )
    axes.legend(loc="upper left")


def _unreached_by_size(axes: Any, statistics: Statistics) -> None:
    ranges = statistics.unreached_by_size
    places = np.arange(len(ranges))
    for offset, name in ((-0.2, "normal"), (0.2, "caries")):
        shares = [100 * entry[name]["unreached"] / max(1, entry[name]["boxes"]) for entry in ranges]
        bars = axes.bar(places + offset, shares, 0.4, color=COLOURS[name], label=name)
        axes.bar_label(bars, [f"{entry[name]['unreached']}" for entry in ranges], fontsize="x-small")
    axes.set_xticks(places, [_range(entry) for entry in ranges], fontsize="small")
    axes.set(xlabel="square root of the area, pixels", ylabel="% of these teeth", title="Teeth that no anchor reaches")
    axes.legend()


def _best_anchors(axes: Any, statistics: Statistics) -> None:
    shapes = statistics.reached.shapes
    areas = shapes.prod(axis=1)
    order = np.lexsort((shapes[:, 1], areas.round()))
    places = np.arange(len(order))
    bars = axes.barh(places, statistics.best_for[order], color=NEUTRAL)
    axes.bar_label(bars, [str(count) for count in statistics.best_for[order]], fontsize=7, padding=1)
    axes.set_yticks(places, [f"{shapes[row, 0]:.0f} x {shapes[row, 1]:.0f}" for row in order], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="teeth that it is the best anchor of", ylabel="height x width, pixels", title="Anchors in use")


def _brightness(axes: Any, statistics: Statistics) -> None:
    axes.hist([item.luminance for item in statistics.quality], bins=np.linspace(0, 255, BINS), color=NEUTRAL)
    for bound in (MIN_LUMINANCE, MAX_LUMINANCE):
        axes.axvline(bound, color="black", linewidth=1)
    axes.set(xlabel="mean luminance, 0 to 255; lines: bounds of a usable photo", ylabel="photos", title="Brightness")


def _sharpness(axes: Any, statistics: Statistics) -> None:
    axes.hist([item.sharpness for item in statistics.quality], bins=BINS, color=NEUTRAL)
    axes.axvline(MIN_SHARPNESS, color="black", linewidth=1)
    axes.set(
        xlabel="sharpness; line: least of a usable photo",
        ylabel="photos",
        title="Sharpness",
    )


def _by_class(
    axes: Any, statistics: Statistics, values: npt.NDArray[np.float64], bins: npt.NDArray[np.float64]
) -> None:
    axes.hist(
        [values[statistics.class_ids == class_id] for class_id in CLASS_IDS.values()],
        bins=bins,
        stacked=True,
        color=[COLOURS[name] for name in CLASS_IDS],
        label=list(CLASS_IDS),
    )
    axes.legend()


def _range(entry: dict[str, Any]) -> str:
    return f"{entry['from']:.0f} on" if entry["to"] is None else f"{entry['from']:.0f}-{entry['to']:.0f}"


_OF_PHOTOS: dict[str, _Plot] = {
    "boxes_per_photo": _boxes_per_photo,
    "photo_sizes": _photo_sizes,
    "brightness": _brightness,
    "sharpness": _sharpness,
}
_OF_BOXES: dict[str, _Plot] = {
    "box_sizes": _box_sizes,
    "box_shorter_sides": _shorter_sides,
    "box_longer_sides": _longer_sides,
    "box_areas": _areas,
    "aspect_ratios": _aspect_ratios,
    "anchor_reach": _anchor_reach,
    "unreached_by_size": _unreached_by_size,
    "best_anchors": _best_anchors,
}
