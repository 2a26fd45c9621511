"""The plots of the report: distributions over photos and teeth, with the anchors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from app.photo.quality import MAX_LUMINANCE, MIN_LUMINANCE, MIN_SHARPNESS
from training.data.annotations import CLASS_IDS
from training.explore.statistics import Floats, Statistics
from training.model.anchors import MATCH_IOU
from training.output import plot_png

SIZE_INCHES = (5.6, 3.7)
TALL_INCHES = (5.6, 5.6)
"""Of the plot with a row for each anchor shape."""

DOTS_PER_INCH = 110

COLOURS = {"normal": "#009e73", "caries": "#d55e00"}
NEUTRAL = "#0072b2"
"""From Okabe and Ito's colour-blind-safe palette."""

BINS = 40


def plot_all(statistics: Statistics) -> dict[str, bytes]:
    """The plots as PNG, by name; without boxes only those of the photos."""
    plots = {**_OF_PHOTOS, **(_OF_BOXES if len(statistics.class_ids) else {})}
    sizes = {"best_anchors": TALL_INCHES}
    return {
        name: plot_png(draw, statistics, sizes.get(name, SIZE_INCHES), DOTS_PER_INCH) for name, draw in plots.items()
    }


def _boxes_per_photo(axes: Any, statistics: Statistics) -> None:
    counts, carious = statistics.boxes_per_photo, statistics.shows_caries
    axes.hist(
        [counts[~carious], counts[carious]],
        bins=np.arange(counts.max(initial=0) + 2) - 0.5,
        stacked=True,
        color=[COLOURS["normal"], COLOURS["caries"]],
        label=["photos without caries", "photos with caries"],
    )
    axes.set(xlabel="labelled teeth", ylabel="photos", title="Teeth in a photo")
    axes.legend()


def _photo_sizes(axes: Any, statistics: Statistics) -> None:
    widths, heights = zip(*((photo.width, photo.height) for photo in statistics.photos), strict=True)
    axes.plot(widths, heights, "o", color=NEUTRAL, alpha=0.4, markersize=4)
    size = statistics.anchors.input_size
    axes.plot(size, size, "k+", markersize=14, label=f"model's input, {size} x {size}")
    axes.set(xlabel="width, pixels", ylabel="height, pixels", title="Photos")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()


def _box_sizes(axes: Any, statistics: Statistics) -> None:
    unreached = statistics.reached.unreached
    styles = ((~unreached, ".", 0.35, 3, ""), (unreached, "x", 1, 5, ", not reached"))
    for name, class_id in CLASS_IDS.items():
        for of_style, marker, alpha, size, suffix in styles:
            chosen = of_style & (statistics.class_ids == class_id)
            style = {"color": COLOURS[name], "alpha": alpha, "markersize": size, "label": name + suffix}
            axes.plot(statistics.widths[chosen], statistics.heights[chosen], marker, **style)
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


def _sizes(axes: Any, statistics: Statistics, values: Floats, of_anchors: Floats, label: str) -> None:
    low, high = min(values.min(), of_anchors.min()), max(values.max(), of_anchors.max())
    _by_class(axes, statistics, values, np.geomspace(low, high, BINS))
    for value in np.unique(of_anchors.round(1)):
        axes.axvline(value, color="black", linewidth=0.6, alpha=0.7)
    axes.set(xscale="log", xlabel=f"{label}; lines: anchors", ylabel="teeth")
    axes.set_title(f"Teeth at {statistics.anchors.input_size} pixels: {label.partition(',')[0]}")


def _aspect_ratios(axes: Any, statistics: Statistics) -> None:
    ratios, anchors = statistics.aspect_ratios, statistics.anchors.aspect_ratios
    low, high = min(ratios.min(), *anchors) * 0.95, max(ratios.max(), *anchors) * 1.05
    _by_class(axes, statistics, ratios, np.geomspace(low, high, BINS))
    for ratio in anchors:
        axes.axvline(ratio, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="width over height; lines: anchors", ylabel="teeth", title="Aspect ratios")
    ticks = [tick for tick in (0.1, 0.2, 0.35, 0.5, 1, 2, 4) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    above = axes.secondary_xaxis("top")
    above.set_xlabel("height over width")
    for axis, values in ((axes, ticks), (above, [1 / tick for tick in ticks])):
        axis.set_xticks(ticks, [f"{value:.3g}" for value in values])
        axis.set_xticks([], minor=True)


def _anchor_reach(axes: Any, statistics: Statistics) -> None:
    _by_class(axes, statistics, statistics.reached.iou, np.linspace(0, 1, BINS + 1))
    axes.axvline(MATCH_IOU, color="black", linewidth=1)
    axes.set(xlabel="IoU with the best anchor; line: lowest of a match", ylabel="teeth", title="Reach of the anchors")
    axes.legend(loc="upper left")


def _unreached_by_size(axes: Any, statistics: Statistics) -> None:
    ranges = statistics.unreached_by_size
    places = np.arange(len(ranges))
    for offset, name in ((-0.2, "normal"), (0.2, "caries")):
        shares = [100 * entry[name]["unreached"] / max(1, entry[name]["boxes"]) for entry in ranges]
        bars = axes.bar(places + offset, shares, 0.4, color=COLOURS[name], label=name)
        axes.bar_label(bars, [f"{entry[name]['unreached']}" for entry in ranges], fontsize="x-small")
    labels = [
        f"from {entry['from']:.0f}" if entry["to"] is None else f"{entry['from']:.0f}-{entry['to']:.0f}"
        for entry in ranges
    ]
    axes.set_xticks(places, labels, fontsize="small")
    axes.set(xlabel="square root of the area, pixels", ylabel="% of these teeth", title="Teeth that no anchor reaches")
    axes.legend()


def _best_anchors(axes: Any, statistics: Statistics) -> None:
    shapes = statistics.reached.shapes
    order = np.lexsort((shapes[:, 1], shapes.prod(axis=1).round()))
    places = np.arange(len(order))
    bars = axes.barh(places, statistics.best_for[order], color=NEUTRAL)
    axes.bar_label(bars, [str(count) for count in statistics.best_for[order]], fontsize=7, padding=1)
    axes.set_yticks(places, [f"{shapes[row, 0]:.0f} x {shapes[row, 1]:.0f}" for row in order], fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="teeth for which it is the best anchor", ylabel="height x width, pixels", title="Anchors in use")


def _brightness(axes: Any, statistics: Statistics) -> None:
    axes.hist([item.luminance for item in statistics.quality], bins=np.linspace(0, 255, BINS), color=NEUTRAL)
    for bound in (MIN_LUMINANCE, MAX_LUMINANCE):
        axes.axvline(bound, color="black", linewidth=1)
    axes.set(xlabel="mean luminance, 0 to 255; lines: bounds of a usable photo", ylabel="photos", title="Brightness")


def _sharpness(axes: Any, statistics: Statistics) -> None:
    axes.hist([item.sharpness for item in statistics.quality], bins=BINS, color=NEUTRAL)
    axes.axvline(MIN_SHARPNESS, color="black", linewidth=1)
    axes.set(xlabel="sharpness; line: lowest of a usable photo", ylabel="photos", title="Sharpness")


def _by_class(axes: Any, statistics: Statistics, values: Floats, bins: npt.NDArray[Any]) -> None:
    axes.hist(
        [values[statistics.class_ids == class_id] for class_id in CLASS_IDS.values()],
        bins=bins,
        stacked=True,
        color=[COLOURS[name] for name in CLASS_IDS],
        label=list(CLASS_IDS),
    )
    axes.legend()


_Plot = Callable[[Any, Statistics], None]

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
