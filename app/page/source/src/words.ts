/** Verdicts and failures in sentences. */

import type { Failure, Waiting } from "./client";
import type { Photo } from "./photos";
import type { Screened } from "./screened";
import { language, percent, texts } from "./texts";

/** Why the verdict is what it is. */
export function reasonsOf({ screening, marks }: Screened, threshold: number): string[] {
  const words = texts();
  if (screening.verdict === "not_assessable") {
    return screening.reasons.map((reason) => words.reasons[reason] ?? reason);
  }
  if (screening.verdict === "no_caries_found") {
    return [words.cleared(screening.teethSeen, percent(threshold)), words.clearedIsNotHealthy];
  }
  const suspects = marks.filter((mark) => mark.isScreened).length;
  return [words.suspected(suspects, screening.teethSeen, percent(threshold))];
}

export interface Sentence {
  text: string;
  /** In the server's English, with the value that was wrong. */
  detail: string;
}

export function sentenceOf(failure: Failure): Sentence {
  const words = texts();
  if (failure.kind === "connection") return { text: words.connectionLost, detail: "" };
  if (failure.kind === "file") return { text: words.fileGone, detail: "" };
  const { title, detail } = failure.problem;
  return language() === "en" && detail ? { text: `${title}: ${detail}.`, detail: "" } : { text: title, detail };
}

export function waitOf({ reason, seconds }: Waiting): string {
  const whole = Math.ceil(seconds);
  return reason === "busy" ? texts().busy(whole) : texts().reconnecting(whole);
}

/** What happens to a photo without an answer yet. */
export function statusOf(photo: Photo): string {
  const words = texts();
  if (photo.waiting) return waitOf(photo.waiting);
  if (photo.status === "failed") return words.failed;
  return photo.status === "done" ? "" : words.status[photo.status];
}

export function timeOf(date: Date | null): string {
  return date ? date.toLocaleString(locale(), { dateStyle: "medium", timeStyle: "medium" }) : "";
}

export function dayOf(date: Date): string {
  return date.toLocaleDateString(locale(), { dateStyle: "medium" });
}

function locale(): string {
  return language() === "ko" ? "ko-KR" : "en-GB";
}
