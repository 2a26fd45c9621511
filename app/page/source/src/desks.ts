/** Where photos to correct come from and corrections go: the server's review store, or the photos of this page. */

import { type Call, liveModels, picture, RequestFailed } from "./client";
import { type Labels, sharedTeeth } from "./labels";
import type { Photo } from "./photos";
import {
  isSame,
  type Kind,
  type LabelRecord,
  labelsOf,
  type Order,
  photoList,
  type PhotoEntry,
  type ReviewedPhoto,
  reviewedPhoto,
  reviewedPicture,
  type State,
  summary,
  type Summary,
  writeRecord,
} from "./reviews";
import { type LabelledPhoto, trainingZip } from "./training_layout";

/** A photo that is open for correction. */
export interface Job {
  id: number;
  width: number;
  height: number;
  /** Address of its picture. */
  picture: string;
  /** What the correction starts from. */
  labels: Labels;
  /** Null for a photo of this page. */
  reviewed: ReviewedPhoto | null;
  kind: Kind;
  /** Of the record that is replaced. */
  version: number;
}

/** Another record was written since this one was read. */
export class Conflict extends Error {
  constructor(
    readonly failure: RequestFailed,
    readonly job: Job,
    readonly record: LabelRecord | null,
  ) {
    super("another record was written");
  }
}

const PAGE_LENGTH = 50;
const MAX_PICTURES = 4;

/** The server's review store. */
export class StoreDesk {
  counts: Summary | null = null;
  /** Whether the list goes on after the entries that were loaded last. */
  hasMore = false;
  private readonly pictures = new Map<number, Promise<string>>();

  constructor(private readonly call: () => Call) {}

  /** A page of the list, from the entry at `offset`. */
  async entries(state: State | "all", order: Order, offset = 0): Promise<PhotoEntry[]> {
    this.counts = await summary(this.call());
    const photos = await photoList(state, order, PAGE_LENGTH, offset, this.call());
    this.hasMore = photos.length === PAGE_LENGTH;
    return photos;
  }

  async recount(): Promise<void> {
    this.counts = await summary(this.call());
  }

  async open(id: number): Promise<Job> {
    const [photo, address] = await Promise.all([reviewedPhoto(id, this.call()), this.pictureOf(id)]);
    return this.jobOf(photo, address);
  }

  /** Fetches a picture that will be needed next. */
  prefetch(id: number): void {
    void this.pictureOf(id).catch(() => undefined);
  }

  /** Raises Conflict if someone wrote another record meanwhile. */
  async save(job: Job, labels: Labels): Promise<void> {
    try {
      await writeRecord(job.id, job.kind, job.version, labels, this.call());
    } catch (error) {
      if (!(error instanceof RequestFailed) || error.failure.kind !== "problem") throw error;
      if (error.failure.problem.status !== 409) throw error;
      const now = this.jobOf(await reviewedPhoto(job.id, this.call()), job.picture);
      const record = (job.kind === "reading" ? now.reviewed?.reading : now.reviewed?.consensus) ?? null;
      // The answer to an earlier try may have been lost.
      if (record?.version === job.version + 1 && isSame(record, labels)) return;
      throw new Conflict(error, now, record);
    }
  }

  private pictureOf(id: number): Promise<string> {
    let address = this.pictures.get(id);
    if (!address) {
      address = reviewedPicture(id, this.call()).then((blob) => URL.createObjectURL(blob));
      address.catch(() => this.pictures.delete(id));
      this.pictures.set(id, address);
      const [oldest] = this.pictures.keys();
      if (this.pictures.size > MAX_PICTURES && oldest !== undefined) {
        void this.pictures.get(oldest)?.then((old) => URL.revokeObjectURL(old));
        this.pictures.delete(oldest);
      }
    }
    return address;
  }

  private jobOf(photo: ReviewedPhoto, address: string): Job {
    const { id, width, height, view, readings, consensus } = photo;
    const isBlind = this.counts?.blind !== "off";
    const isSettled = photo.state === "disputed" || consensus !== null || (isBlind && readings.length > 1);
    const own = isSettled ? consensus : photo.reading;
    const [first, second] = readings;
    const start = isSettled && first && second ? sharedTeeth(first.boxes, second.boxes) : photo.start;
    const shared = readings.find((record) => record.view)?.view ?? null;
    const fresh: Labels = { teeth: cariousFirst(start), empty: null, view: view ?? (isSettled ? shared : null), note: "" };
    return {
      id,
      width,
      height,
      picture: address,
      labels: own ? labelsOf(own) : fresh,
      reviewed: photo,
      kind: isSettled ? "consensus" : "reading",
      version: own?.version ?? 0,
    };
  }
}

function cariousFirst(teeth: Labels["teeth"]): Labels["teeth"] {
  const rank = { caries: 0, normal: 2 };
  const rankOf = (name: keyof typeof rank | null) => (name === null ? 1 : rank[name]);
  return [...teeth].sort((a, b) => rankOf(a.class) - rankOf(b.class));
}

/** The photos of this page, which only the browser has. */
export class PageDesk {
  private readonly corrections = new Map<Photo, Labels>();
  private readonly drafts = new Map<Photo, Labels>();
  private readonly patients = new Map<Photo, string>();
  private isSaved = true;

  constructor(
    private readonly photos: () => Photo[],
    private readonly start: (photo: Photo) => Labels | null,
    private readonly call: () => Call,
  ) {
    addEventListener("beforeunload", (event) => {
      const isUnconfirmed = this.entries().some((photo) => this.drafts.has(photo));
      if (isUnconfirmed || (!this.isSaved && this.corrected().length)) event.preventDefault();
    });
  }

  /** Those that are screened. */
  entries(): Photo[] {
    return this.photos().filter((photo) => photo.answer && photo.picture);
  }

  corrected(): Photo[] {
    return this.entries().filter((photo) => this.corrections.has(photo));
  }

  isCorrected(photo: Photo): boolean {
    return this.corrections.has(photo);
  }

  open(id: number): Job | null {
    const photo = this.find(id);
    const labels = photo && (this.drafts.get(photo) ?? this.corrections.get(photo) ?? this.start(photo));
    if (!photo?.answer || !photo.picture || !labels) return null;
    const { width, height } = photo.answer.image;
    return { id, width, height, picture: photo.picture, labels, reviewed: null, kind: "reading", version: 0 };
  }

  /** Remembers labels that are not confirmed. */
  keepDraft(id: number, labels: Labels): void {
    const photo = this.find(id);
    if (photo) this.drafts.set(photo, labels);
  }

  save(id: number, labels: Labels): void {
    const photo = this.find(id);
    if (!photo) return;
    this.drafts.delete(photo);
    this.corrections.set(photo, labels);
    this.isSaved = false;
  }

  patientOf(id: number): string {
    const photo = this.find(id);
    return (photo && this.patients.get(photo)) ?? "";
  }

  setPatient(id: number, patient: string): void {
    const photo = this.find(id);
    if (photo) this.patients.set(photo, patient);
  }

  private find(id: number): Photo | undefined {
    return this.entries().find((photo) => photo.id === id);
  }

  /** The corrected photos in the layout of the training; raises RequestFailed. */
  async zip(): Promise<Blob> {
    const labelled: LabelledPhoto[] = [];
    for (const photo of this.corrected()) {
      const labels = this.corrections.get(photo);
      if (!labels) continue;
      // The server's copy is upright and has no metadata.
      const copy = await picture(photo.file, { format: "jpeg", plain: "true" }, this.call());
      labelled.push({ picture: copy, labels, patient: this.patients.get(photo) ?? "" });
    }
    const zip = await trainingZip(labelled);
    this.isSaved = true;
    return zip;
  }
}

/** Digest of the model that answers now; null if the server has none. */
export async function liveDigest(call: Call): Promise<string | null> {
  return (await liveModels(call))[0]?.sha256 ?? null;
}
