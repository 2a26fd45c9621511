/** The files that the page saves: JSON as `POST /detect` answers it, with the file's name, and CSV with a row a mark. */

import type { OperatingPoint } from "./answers";
import type { Photo } from "./photos";
import type { Screened } from "./screened";

/** One photo with its result; `null` where the server gave none. */
export interface Result {
  photo: Photo;
  screened: Screened | null;
}

export function asJson(results: Result[], point: OperatingPoint): string {
  return JSON.stringify({ results: results.map((result) => jsonOf(result, point)) }, null, 2);
}

function jsonOf({ photo, screened }: Result, point: OperatingPoint): object {
  const file = { file: photo.name };
  if (!screened) return { ...file, problem: photo.failure?.kind === "problem" ? photo.failure.problem : null };
  const { answer, screening, byScore } = screened;
  return {
    ...file,
    screened_at: photo.screenedAt?.toISOString() ?? null,
    model: answer.model,
    image: answer.image,
    verdict: screening.verdict,
    reasons: screening.reasons,
    teeth_seen: screening.teethSeen,
    detections: byScore.map(({ className, classId, score, box }) => ({
      class: className,
      class_id: classId,
      score,
      box,
    })),
    hidden_by_max_boxes: screening.hiddenByMaxBoxes,
    operating_point: {
      name: point.name,
      score_threshold: point.score_threshold,
      max_boxes: point.max_boxes,
      sensitivity: point.sensitivity,
      false_positives_per_image: point.false_positives_per_image,
    },
  };
}

const COLUMNS = [
  ...["file", "screened_at", "verdict", "reasons", "teeth_seen", "number", "class", "class_id", "score"],
  ...["xmin", "ymin", "xmax", "ymax", "hidden_by_max_boxes", "score_threshold", "max_boxes", "width", "height"],
  ...["image_sha256", "model", "model_version", "model_sha256", "problem"],
];

/** A row for each mark; a photo without marks has one row. */
export function asCsv(results: Result[], point: OperatingPoint): string {
  const rows = results.flatMap((result) => rowsOf(result, point));
  const lines = rows.map((row) => COLUMNS.map((name) => cell(row[name])).join(","));
  return `\uFEFF${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`; // Excel needs the mark to read UTF-8
}

function rowsOf({ photo, screened }: Result, point: OperatingPoint): Record<string, unknown>[] {
  if (!screened) {
    return [{ file: photo.name, problem: photo.failure?.kind === "problem" ? photo.failure.problem.title : "" }];
  }
  const { answer, screening, marks } = screened;
  const row = {
    file: photo.name,
    screened_at: photo.screenedAt?.toISOString(),
    verdict: screening.verdict,
    reasons: screening.reasons.join(" "),
    teeth_seen: screening.teethSeen,
    hidden_by_max_boxes: screening.hiddenByMaxBoxes,
    score_threshold: point.score_threshold,
    max_boxes: point.max_boxes,
    width: answer.image.width,
    height: answer.image.height,
    image_sha256: answer.image.sha256,
    model: answer.model.name,
    model_version: answer.model.version,
    model_sha256: answer.model.sha256,
  };
  if (!marks.length) return [row];
  return marks.map(({ number, className, classId, score, box }) => ({
    ...row,
    ...box,
    number,
    class: className,
    class_id: classId,
    score,
  }));
}

function cell(value: unknown): string {
  let text = value === undefined || value === null ? "" : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`; // spreadsheets would run it
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Lets the browser save a file. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
