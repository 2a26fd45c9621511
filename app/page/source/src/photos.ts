/** The photos of this page: their files, answers and pictures, and the queue that sends them. */

import type { Answer } from "./answers";
import { type Call, detect, type Failure, picture, RequestFailed, type Waiting } from "./client";
import { mayTurn, pixelsOfJpeg } from "./metadata";

export const MAX_PHOTOS = 32;
const CONCURRENT = 3;
const PREVIEW_SIDE = 1600;
const EARLY_MS = 150; // most answers come before, and are shown together with the picture
const MAX_EARLY_PIXELS = 50e6; // of a photo that the server has not accepted yet

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
  /** The picture, decoded. */
  image: HTMLImageElement | null;
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
      const shown = this.showEarly(photo, call);
      const answer = await detect(photo.file, this.query(), call);
      await shown;
      if (photo.image && !isUpright(photo.image, answer)) forget(photo);
      photo.answer = answer;
      photo.screenedAt = new Date();
      photo.status = "drawing";
      photo.waiting = null;
      if (!photo.picture) {
        this.changed();
        await addPicture(photo, answer, call);
      }
      photo.status = "done";
      void this.addPreview(photo);
    } catch (error) {
      if (controller.signal.aborted) return;
      forget(photo);
      photo.status = "failed";
      photo.failure = error instanceof RequestFailed ? error.failure : { kind: "connection" };
    } finally {
      photo.waiting = null;
      if (this.running.get(photo) === controller) this.running.delete(photo);
      this.proceed();
    }
  }

  /** Shows a JPEG while the server works on it. */
  private async showEarly(photo: Photo, call: Call): Promise<void> {
    const pixels = await pixelsOfJpeg(photo.file);
    if (pixels === null || pixels > MAX_EARLY_PIXELS) return;
    show(photo, await imageOf(photo.file), call);
    setTimeout(() => this.changed(), EARLY_MS);
  }

  private async addPreview(photo: Photo): Promise<void> {
    const { picture } = photo;
    if (!picture) return;
    const preview = await previewOf(picture);
    if (photo.picture !== picture) return; // forgotten meanwhile
    photo.preview = URL.createObjectURL(preview);
    this.changed();
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
    image: null,
  };
}

function forget(photo: Photo): void {
  for (const address of [photo.picture, photo.preview]) if (address) URL.revokeObjectURL(address);
  Object.assign(photo, { picture: null, preview: null, image: null });
}

function isUpright(image: HTMLImageElement, answer: Answer): boolean {
  return image.naturalWidth === answer.image.width && image.naturalHeight === answer.image.height;
}

function show(photo: Photo, image: HTMLImageElement | null, call: Call): void {
  if (!image) return;
  if (call.signal.aborted) return URL.revokeObjectURL(image.src);
  photo.picture = image.src;
  photo.image = image;
}

/** The photo itself where the browser shows it as the server saw it; else, as for HEIC, the server's picture of it. */
async function addPicture(photo: Photo, answer: Answer, call: Call): Promise<void> {
  let image = (await mayTurn(photo.file)) ? null : await imageOf(photo.file);
  if (!image || !isUpright(image, answer)) {
    if (image) URL.revokeObjectURL(image.src);
    try {
      image = await imageOf(await picture(photo.file, { format: "jpeg", plain: "true" }, call));
    } catch (error) {
      if (call.signal.aborted) throw error;
      image = null; // the boxes are there nevertheless
    }
  }
  show(photo, image, call);
}

/** The decoded picture, at an address of its own; null if the browser cannot show it. */
async function imageOf(file: Blob): Promise<HTMLImageElement | null> {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return image;
  } catch {
    URL.revokeObjectURL(image.src);
    return null;
  }
}

async function previewOf(address: string): Promise<Blob> {
  const image = new Image();
  image.src = address;
  await image.decode();
  const scale = Math.min(1, PREVIEW_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = new OffscreenCanvas(
    Math.max(1, Math.round(image.naturalWidth * scale)),
    Math.max(1, Math.round(image.naturalHeight * scale)),
  );
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser has no canvas");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}
