/**
 * The rule of `app/screening.py`: from detections to boxes and verdict, for any threshold.
 *
 * The server computes in float32. Every step here is rounded to float32 likewise, so that both decide alike also where
 * a score or an overlap lies on a bound. `tests/app/page/test_rule.py` compares them.
 */

export const TOOTH_SCORE = 0.4;
export const CLEAR_TOOTH_SCORE = 0.64;
export const SAME_TOOTH_IOU = 0.5;
export const MIN_TEETH_TO_CLEAR = 2;

/** `ymin, xmin, ymax, xmax` as fractions of the photo's height and width. */
export type Corners = [number, number, number, number];

/** Detections, highest score first, as the server's JSON has them. */
export interface Columns {
  boxes: Corners[];
  scores: number[];
  class_ids: number[];
}

/** What the server decides by: `evidence` of its answer. */
export interface Evidence {
  screened_class_id: number;
  reasons: string[];
  detections: Columns;
  seen: Columns;
}

export interface Options {
  scoreThreshold: number;
  maxBoxes: number;
  allClasses: boolean;
}

export interface Detection {
  corners: Corners;
  score: number;
  classId: number;
}

export type Verdict = "caries_suspected" | "no_caries_found" | "not_assessable";

export interface Screening {
  verdict: Verdict;
  reasons: string[];
  teethSeen: number;
  /** Highest score first. */
  shown: Detection[];
  hiddenByMaxBoxes: number;
}

const f32 = Math.fround;

export function screen(evidence: Evidence, options: Options): Screening {
  const threshold = f32(options.scoreThreshold);
  const reaching = rows(evidence.detections).filter((row) => row.score >= threshold);
  const suspects = reaching.filter((row) => row.classId === evidence.screened_class_id);
  const isApart = (row: Detection) => suspects.every((suspect) => iou(row.corners, suspect.corners) < SAME_TOOTH_IOU);
  const candidates = options.allClasses
    ? reaching.filter((row) => row.classId === evidence.screened_class_id || isApart(row))
    : suspects;

  const seen = rows(evidence.seen);
  const teethSeen = countTeeth([...seen.filter((row) => row.score >= f32(TOOTH_SCORE)), ...suspects]);
  const clearTeeth = countTeeth(seen.filter((row) => row.score >= f32(CLEAR_TOOTH_SCORE)));
  const reasons = [...evidence.reasons];
  if (!suspects.length && clearTeeth < MIN_TEETH_TO_CLEAR) reasons.push(teethSeen ? "too_few_teeth" : "no_teeth_seen");
  return {
    verdict: reasons.length ? "not_assessable" : suspects.length ? "caries_suspected" : "no_caries_found",
    reasons,
    teethSeen,
    shown: candidates.slice(0, options.maxBoxes),
    hiddenByMaxBoxes: Math.max(0, candidates.length - options.maxBoxes),
  };
}

/** A box in pixels of the upright photo, as the server's JSON has it. */
export function pixels(corners: Corners, width: number, height: number) {
  const [ymin, xmin, ymax, xmax] = corners.map(f32) as Corners;
  return {
    xmin: rounded(f32(xmin * width), 1),
    ymin: rounded(f32(ymin * height), 1),
    xmax: rounded(f32(xmax * width), 1),
    ymax: rounded(f32(ymax * height), 1),
  };
}

/** A float32 to so many decimals, halves to the even one as in Python. The product with 10 ** 4 is exact. */
export function rounded(value: number, decimals: number): number {
  const factor = 10 ** decimals;
  const low = Math.floor(value * factor);
  const rest = value * factor - low;
  const isUp = rest > 0.5 || (rest === 0.5 && low % 2 !== 0);
  return (isUp ? low + 1 : low) / factor;
}

function rows(columns: Columns): Detection[] {
  return columns.boxes.map((corners, n) => ({
    corners: corners.map(f32) as Corners,
    score: f32(columns.scores[n] ?? 0),
    classId: columns.class_ids[n] ?? 0,
  }));
}

/** Boxes of any class that overlap the best box of a tooth show that tooth. */
function countTeeth(detections: Detection[]): number {
  let left = [...detections].sort((a, b) => b.score - a.score);
  let teeth = 0;
  for (let best = left.shift(); best; best = left.shift()) {
    const { corners } = best;
    left = left.filter((row) => !(iou(corners, row.corners) >= SAME_TOOTH_IOU));
    teeth += 1;
  }
  return teeth;
}

function iou(a: Corners, b: Corners): number {
  const side = (axis: 0 | 1) =>
    Math.max(0, f32(Math.min(a[axis + 2]!, b[axis + 2]!) - Math.max(a[axis], b[axis])));
  const area = (box: Corners) => f32(f32(box[2] - box[0]) * f32(box[3] - box[1]));
  const intersection = f32(side(0) * side(1));
  const union = f32(f32(area(a) + area(b)) - intersection);
  return union > 0 ? f32(intersection / union) : 0;
}
