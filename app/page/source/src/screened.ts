/** A photo's answer at the page's settings: what the page shows, saves and prints. */

import type { Answer } from "./answers";
import type { Photo } from "./photos";
import { type Options, pixels, rounded, screen, type Screening } from "./rule";

export interface Mark {
  number: number;
  className: string;
  classId: number;
  isScreened: boolean;
  score: number;
  box: { xmin: number; ymin: number; xmax: number; ymax: number };
}

export interface Screened {
  photo: Photo;
  answer: Answer;
  screening: Screening;
  /** Suspected teeth first, as the server draws them, then the others; each by score. */
  marks: Mark[];
}

/** Null for a photo without an answer. `classes` are the names by id. */
export function screened(photo: Photo, options: Options, classes: Record<string, string>): Screened | null {
  const { answer } = photo;
  if (!answer) return null;
  const { evidence, image } = answer;
  const screening = screen(evidence, options);
  const isScreened = (classId: number) => classId === evidence.screened_class_id;
  const marks = [...screening.shown]
    .sort((a, b) => Number(isScreened(b.classId)) - Number(isScreened(a.classId)))
    .map((detection, n) => ({
      number: n + 1,
      className: classes[detection.classId] ?? String(detection.classId),
      classId: detection.classId,
      isScreened: isScreened(detection.classId),
      score: rounded(detection.score, 4),
      box: pixels(detection.corners, image.width, image.height),
    }));
  return { photo, answer, screening, marks };
}
