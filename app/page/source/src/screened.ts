/** A photo's answer at the page's settings: what the page shows, saves and prints. */

import type { Answer } from "./answers";
import type { Photo } from "./photos";
import type { Box } from "./labels";
import { type Options, pixels, rounded, screen, type Screening } from "./rule";

export interface Mark {
  number: number;
  className: string;
  classId: number;
  isScreened: boolean;
  score: number;
  box: Box;
}

export interface Screened {
  photo: Photo;
  answer: Answer;
  screening: Screening;
  /** Suspected teeth first, as the server draws them, then the others; each by score. */
  marks: Mark[];
  /** The same by score alone, as in the server's JSON. */
  byScore: Mark[];
}

/** Null for a photo without an answer. `classes` are the names by id. */
export function screened(photo: Photo, options: Options, classes: Record<string, string>): Screened | null {
  const { answer } = photo;
  if (!answer) return null;
  const { evidence, image } = answer;
  const screening = screen(evidence, options);
  const byScore = screening.shown.map(({ corners, score, classId }) => ({
    number: 0,
    className: classes[classId] ?? String(classId),
    classId,
    isScreened: classId === evidence.screened_class_id,
    score: rounded(score, 4),
    box: pixels(corners, image.width, image.height),
  }));
  const marks = [...byScore].sort((a, b) => Number(b.isScreened) - Number(a.isScreened));
  marks.forEach((mark, n) => (mark.number = n + 1));
  return { photo, answer, screening, marks, byScore };
}
