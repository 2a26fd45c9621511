/** The photos of this page: their files, answers and pictures, and the queue that sends them. */

import type { Answer } from "./answers";
import { type Call, detect, type Failure, picture, RequestFailed, type Waiting } from "./client";
import { mayTurn } from "./metadata";

export const MAX_PHOTOS = 32;
const CONCURRENT = 3;
const PREVIEW_SIDE = 1600;

export type Status = "waiting" | "sending" | "drawing" | "done" | "failed";

export interface Photo {
  id: number;
  name: string;
  file: Blob;
  status: Status;
  waiting: Waiting | null;
  failure: Failure | null;
  answer: Answer | null;
  screenedAt: Date | null;
  /** Address of the upright photo in full size; null if no picture of it is to be had. */
  picture: string | null;
  /** Address of a smaller copy for the list and the report. */
  preview: string | null;
}

export class Photos {
  readonly all: Photo[] = [];
  private nextId = 1;
  private readonly running = new Map<Photo, AbortController>();

  /** Screens with `query`; `changed` is told after every step of a photo. */
  constructor(
    private readonly query: () => Record<string, string>,
    private readonly language: () => string,
    private readonly changed: () => void,
  ) {}

  /** Adds the photos for which there is room, and returns how many were left out. */
  add(files: { name: string; file: Blob }[]): number {
    const room = MAX_PHOTOS - this.all.length;
    for (const { name, file } of files.slice(0, room)) {
      this.all.push({ id: this.nextId++, name, file, ...untouched() });
    }
    this.proceed();
    return Math.max(0, files.length - room);
  }

  remove(photo: Photo): void {
    this.running.get(photo)?.abort();
    forget(photo);
    this.all.splice(this.all.indexOf(photo), 1);
    this.proceed();
  }

  /** Screens a photo again that failed, or one that another model screened. */
  again(photo: Photo): void {
    this.running.get(photo)?.abort();
    forget(photo);
    Object.assign(photo, untouched());
    this.proceed();
  }

  finished(): number {
    return this.all.filter((photo) => photo.status === "done" || photo.status === "failed").length;
  }

  private proceed(): void {
    for (const photo of this.all) {
      if (this.running.size >= CONCURRENT) break;
      if (photo.status === "waiting" && !this.running.has(photo)) void this.run(photo);
    }
    this.changed();
  }

  private async run(photo: Photo): Promise<void> {
    const controller = new AbortController();
    this.running.set(photo, controller);
    const call: Call = {
      signal: controller.signal,
      language: this.language(),
      onWait: (waiting) => {
        photo.waiting = waiting;
        this.changed();
      },
    };
    try {
      photo.status = "sending";
      photo.answer = await detect(photo.file, this.query(), call);
      photo.screenedAt = new Date();
      photo.status = "drawing";
      photo.waiting = null;
      this.changed();
      await addPictures(photo, photo.answer, call);
      photo.status = "done";
    } catch (error) {
      if (controller.signal.aborted) return;
      photo.status = "failed";
      photo.failure = error instanceof RequestFailed ? error.failure : { kind: "connection" };
    } finally {
      photo.waiting = null;
      if (this.running.get(photo) === controller) this.running.delete(photo);
      this.proceed();
    }
  }
}

function untouched() {
  return {
    status: "waiting" as Status,
    waiting: null,
    failure: null,
    answer: null,
    screenedAt: null,
    picture: null,
    preview: null,
  };
}

function forget(photo: Photo): void {
  for (const address of [photo.picture, photo.preview]) if (address) URL.revokeObjectURL(address);
}

/** The photo itself where the browser shows it as the server saw it; else, as for HEIC, the server's picture of it. */
async function addPictures(photo: Photo, answer: Answer, call: Call): Promise<void> {
  const { width, height } = answer.image;
  let source = photo.file;
  let bitmap = (await mayTurn(source)) ? null : await bitmapOf(source);
  if (!bitmap || bitmap.width !== width || bitmap.height !== height) {
    bitmap?.close();
    try {
      source = await picture(photo.file, { format: "jpeg", plain: "true" }, call);
      bitmap = await bitmapOf(source);
    } catch (error) {
      if (call.signal.aborted) throw error;
      bitmap = null; // the boxes are there nevertheless
    }
  }
  if (!bitmap) return;
  photo.preview = URL.createObjectURL(await previewOf(bitmap));
  photo.picture = URL.createObjectURL(source);
  bitmap.close();
}

async function bitmapOf(file: Blob): Promise<ImageBitmap | null> {
  try {
    return await createImageBitmap(file);
  } catch {
    return null;
  }
}

async function previewOf(bitmap: ImageBitmap): Promise<Blob> {
  const scale = Math.min(1, PREVIEW_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(
    Math.max(1, Math.round(bitmap.width * scale)),
    Math.max(1, Math.round(bitmap.height * scale)),
  );
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser has no canvas");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}
