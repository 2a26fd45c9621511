/** `/reviews` of the server, as docs/api.md describes it; only what the page reads. */

import type { Model } from "./answers";
import { type Call, get, getBlob, post, sendJson } from "./client";
import { type Labels, type ReaderVerdict, type Tooth, type View, verdictOf } from "./labels";
import { readerQuery } from "./session";

export const STATES = ["waiting", "disputed", "done"] as const;
export type State = (typeof STATES)[number];
export const ORDERS = ["uncertainty", "disagreement", "date"] as const;
export type Order = (typeof ORDERS)[number];

export interface Summary {
  blind: "off" | "unclassed" | "empty";
  photos: Record<State, number>;
}

export interface PhotoEntry {
  id: number;
  state: State;
  kept_at: string;
  patient: string | null;
  view: View | null;
  width: number;
  height: number;
  readings: number;
}

export interface LabelRecord {
  reader: string;
  version: number;
  verdict: ReaderVerdict;
  boxes: Tooth[];
  view: View | null;
  note: string | null;
  updated_at: string;
}

export interface ReviewedPhoto extends Omit<PhotoEntry, "readings"> {
  sha256: string;
  detections: { model: Model }[] | null;
  start: Tooth[];
  reading: LabelRecord | null;
  readings: LabelRecord[];
  consensus: LabelRecord | null;
}

export type Kind = "reading" | "consensus";

export interface Figures {
  photos: number;
  teeth: number;
  f1_05: number | null;
  f1_075: number | null;
  kappa_tooth: number | null;
  kappa_photo: number | null;
}

type ByView = Figures & { by_view: Partial<Record<View, Figures>> };

export interface Agreement {
  photos: number;
  pairs: (ByView & { readers: string[] })[];
  readers: (ByView & { reader: string })[];
  detectors: (ByView & { model: string; version: number })[];
}

export function summary(call: Call): Promise<Summary> {
  return get("reviews", call);
}

export async function photoList(
  state: State | "all",
  order: Order,
  limit: number,
  offset: number,
  call: Call,
): Promise<PhotoEntry[]> {
  const query = new URLSearchParams({ ...readerQuery(), state, order, limit: String(limit), offset: String(offset) });
  return (await get<{ photos: PhotoEntry[] }>(`reviews/photos?${query}`, call)).photos;
}

export function reviewedPhoto(id: number, call: Call): Promise<ReviewedPhoto> {
  return get(`reviews/photos/${id}?${new URLSearchParams(readerQuery())}`, call);
}

export function reviewedPicture(id: number, call: Call): Promise<Blob> {
  return getBlob(`reviews/photos/${id}/picture`, call);
}

/** Keeps a photo on the server, with what the detector says about it. */
export function keepForReview(photo: Blob, query: Record<string, string>, call: Call): Promise<ReviewedPhoto> {
  const read = (response: Response) => response.json() as Promise<ReviewedPhoto>;
  return post("reviews/photos", photo, { ...readerQuery(), ...query }, call, read);
}

/** Writes a record in place of that version. */
export function writeRecord(
  id: number,
  kind: Kind,
  version: number,
  labels: Labels,
  call: Call,
): Promise<ReviewedPhoto> {
  const address = `reviews/photos/${id}/${kind}?${new URLSearchParams(readerQuery())}`;
  return sendJson("PUT", address, { version, ...recordOf(labels) }, call);
}

export function measuredAgreement(call: Call): Promise<Agreement> {
  return get("reviews/agreement", call);
}

export function labelsOf({ verdict, boxes, view, note }: LabelRecord): Labels {
  return { teeth: boxes, empty: verdict === "carious" ? null : verdict, view, note: note ?? "" };
}

/** Whether the record says just this. */
export function isSame(record: LabelRecord, labels: Labels): boolean {
  return JSON.stringify(recordOf(labelsOf(record))) === JSON.stringify(recordOf(labels));
}

function recordOf(labels: Labels) {
  const boxes = labels.teeth.map(({ class: name, box: { xmin, ymin, xmax, ymax } }) => ({
    class: name,
    box: { xmin, ymin, xmax, ymax },
  }));
  return { verdict: verdictOf(labels), boxes, view: labels.view, note: labels.note.trim() || null };
}
