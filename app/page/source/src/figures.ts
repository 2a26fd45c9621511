/** What a threshold means, by the figures that were measured for the model. */

import type { Curve } from "./answers";

export interface Figures {
  sensitivity: number;
  falsePositivesPerImage: number;
}

/** The figures at a threshold, between two measured ones by a straight line; null outside of the curve. */
export function figuresAt(curve: Curve, threshold: number): Figures | null {
  const thresholds = curve.score_thresholds;
  const above = thresholds.findIndex((value) => value >= threshold);
  const high = thresholds[above];
  if (high === undefined) return null;
  const low = thresholds[above - 1];
  if (low === undefined && high !== threshold) return null;
  const share = low === undefined ? 1 : (threshold - low) / (high - low);
  const between = (values: number[]) => {
    const end = values[above] ?? NaN;
    const start = values[above - 1] ?? end;
    return start + (end - start) * share;
  };
  return {
    sensitivity: between(curve.mean.sensitivity),
    falsePositivesPerImage: between(curve.mean.false_positives_per_image),
  };
}
