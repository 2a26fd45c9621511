/** The server's JSON, as docs/api.md describes it; only what the page reads. */

import type { Evidence } from "./rule";

export interface Model {
  name: string;
  version: number;
  sha256: string;
}

export interface Answer {
  model: Model;
  image: { width: number; height: number; sha256: string };
  operating_point: { score_threshold: number; max_boxes: number };
  timings_ms: Record<string, number>;
  evidence: Evidence;
}

/** An error as the server words it (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
}

export interface OperatingPoint {
  name: string | null;
  score_threshold: number;
  max_boxes: number;
  sensitivity: number | null;
  false_positives_per_image: number | null;
}

/** A row of `GET /models`. */
export interface ModelEntry {
  name: string;
  version: number;
  live: boolean;
  default: boolean;
  usable: boolean;
  sha256: string | null;
  classes: Record<string, string>;
  operating_point: OperatingPoint | null;
  operating_points: Record<string, OperatingPoint>;
  curve: string | null;
  comparison: Comparison | null;
}

/** A figure of two bundles; null where the photos cannot give it. */
export interface ComparedFigure {
  old: number | null;
  new: number | null;
  difference: number | null;
  interval: [number, number] | null;
}

/** A bundle against the one before it. */
export interface Comparison {
  created: string;
  old: Model;
  new: Model;
  is_better: boolean;
  reason: string;
  photos: Record<string, number>;
  figures: Record<string, Record<string, ComparedFigure>>;
}

/** The answer to `GET /models`. */
export interface ModelList {
  models: ModelEntry[];
  refused: Comparison[];
}

export interface CurveFigures {
  sensitivity: number[];
  false_positives_per_image: number[];
}

export interface Curve {
  score_thresholds: number[];
  mean: CurveFigures;
}
