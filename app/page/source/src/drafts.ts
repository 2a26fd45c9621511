/** Corrections that the server does not have yet. This browser keeps them until it does. */

import type { Labels } from "./labels";
import { forgetStored, store, storedKeys, storedText } from "./stored";

const MAX_AGE_DAYS = 30;

export interface Draft {
  /** Of the record that was corrected. */
  version: number;
  labels: Labels;
  savedAt: string;
}

/** Whose draft, of which photo: a store that was set up again reuses numbers, but no digests. */
export function draftKey(reader: string, kind: string, sha256: string): string {
  return `draft.${kind}.${sha256}.${reader}`;
}

export function draftAt(key: string): Draft | null {
  const text = storedText(key);
  return text === null ? null : (JSON.parse(text) as Draft);
}

export function keepDraft(key: string, version: number, labels: Labels): void {
  const draft: Draft = { version, labels, savedAt: new Date().toISOString() };
  store(key, JSON.stringify(draft));
}

/** Drops drafts of photos that no one came back to, such as deleted ones. */
export function dropOldDrafts(): void {
  const oldest = Date.now() - MAX_AGE_DAYS * 24 * 3_600_000;
  for (const key of storedKeys("draft.")) {
    const draft = draftAt(key);
    if (draft && Date.parse(draft.savedAt) < oldest) forgetStored(key);
  }
}

export function dropDraft(key: string): void {
  forgetStored(key);
}
