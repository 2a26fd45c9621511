/** What a reader says about a photo: the rules of `app/reviews/labels.py`. */

export const CLASSES = ["caries", "normal"] as const;
export type ClassName = (typeof CLASSES)[number];
export const VIEWS = ["front", "side", "occlusal", "close"] as const;
export type View = (typeof VIEWS)[number];
export type ReaderVerdict = "carious" | "sound" | "not_assessable";

/** Corners in pixels of the upright photo. */
export interface Box {
  xmin: number;
  ymin: number;
  xmax: number;
  ymax: number;
}

/** A class of null is not decided yet. */
export interface Tooth {
  class: ClassName | null;
  box: Box;
}

export interface Labels {
  teeth: Tooth[];
  /** What the reader said of a photo without a box. */
  empty: "sound" | "not_assessable" | null;
  view: View | null;
  note: string;
}

/** Null as long as something is not decided. */
export function verdictOf({ teeth, empty }: Pick<Labels, "teeth" | "empty">): ReaderVerdict | null {
  if (teeth.some((tooth) => tooth.class === null)) return null;
  if (teeth.some((tooth) => tooth.class === "caries")) return "carious";
  return teeth.length ? "sound" : empty;
}

export const SAME_TOOTH_IOU = 0.5;

export function iou(a: Box, b: Box): number {
  const width = Math.max(0, Math.min(a.xmax, b.xmax) - Math.max(a.xmin, b.xmin));
  const height = Math.max(0, Math.min(a.ymax, b.ymax) - Math.max(a.ymin, b.ymin));
  const shared = width * height;
  return shared / (areaOf(a) + areaOf(b) - shared);
}

export function areaOf(box: Box): number {
  return (box.xmax - box.xmin) * (box.ymax - box.ymin);
}

/** Pairs of boxes that show the same tooth, each box once, the best overlaps first. */
export function pairsOf(first: Tooth[], second: Tooth[]): Map<Tooth, Tooth> {
  const overlaps = first
    .flatMap((one) => second.map((other) => ({ one, other, overlap: iou(one.box, other.box) })))
    .filter(({ overlap }) => overlap >= SAME_TOOTH_IOU)
    .sort((a, b) => b.overlap - a.overlap);
  const pairs = new Map<Tooth, Tooth>();
  const taken = new Set<Tooth>();
  for (const { one, other } of overlaps) {
    if (pairs.has(one) || taken.has(other)) continue;
    pairs.set(one, other);
    taken.add(other);
  }
  return pairs;
}

/** What a consensus starts from: what the readings share, and without a class where a carious tooth differs. */
export function sharedTeeth(first: Tooth[], second: Tooth[]): Tooth[] {
  const pairs = pairsOf(first, second);
  const undecidedIfCarious = (tooth: Tooth): Tooth => (tooth.class === "caries" ? { ...tooth, class: null } : tooth);
  const shared = first.map((tooth): Tooth => {
    const other = pairs.get(tooth);
    if (!other) return undecidedIfCarious(tooth);
    return { ...tooth, class: tooth.class === other.class ? tooth.class : null };
  });
  const paired = new Set(pairs.values());
  return [...shared, ...second.filter((tooth) => !paired.has(tooth)).map(undecidedIfCarious)];
}
