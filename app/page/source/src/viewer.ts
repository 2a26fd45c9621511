/** The photo with its boxes: zoom by wheel, keys, buttons and pinch, and moving. Annotorious draws the boxes. */

import "@annotorious/annotorious/annotorious.css";

import { createImageAnnotator, type ImageAnnotation, type ImageAnnotator, ShapeType } from "@annotorious/annotorious";

import { areaOf, type Box } from "./labels";

const MAX_ZOOM = 12;
const STEP = 1.4;
const PAN_STEP = 60; // CSS pixels
const CLICK_SLACK = 5; // CSS pixels that a click may move

export interface Point {
  x: number;
  y: number;
}

/** A box over the photo. */
export interface Drawn {
  number: number;
  box: Box;
  isScreened: boolean;
  /** Its class is not decided. */
  isOpen?: boolean;
}

export interface ViewerEvents {
  /** The pointer is on this mark, or on none. */
  hover(number: number | null): void;
  /** A click on this mark, or on none. */
  pick(number: number | null): void;
  turn(step: 1 | -1): void;
}

export class Viewer {
  readonly stage: HTMLElement;
  private annotator: ImageAnnotator | null = null;
  private address: string | null = null;
  private size = { width: 1, height: 1 };
  private zoom = 1;
  private offset: Point = { x: 0, y: 0 };
  private readonly pointers = new Map<number, Point>();
  private moved = 0;
  private marks: Drawn[] = [];
  private lit: number | null = null;
  private framed: number | null = null;

  constructor(
    private readonly root: HTMLElement,
    private readonly events: ViewerEvents,
  ) {
    this.stage = document.createElement("div");
    this.stage.className = "stage";
    root.append(this.stage);
    root.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    root.addEventListener("keydown", (event) => this.onKey(event));
    root.addEventListener("pointerdown", (event) => this.onDown(event));
    root.addEventListener("pointermove", (event) => this.onMove(event));
    root.addEventListener("click", (event) => this.onClick(event));
    for (const kind of ["pointerup", "pointercancel", "pointerleave"] as const) {
      root.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    }
    new ResizeObserver(() => this.place()).observe(root);
  }

  /** Shows the upright photo at this address, of this size in pixels; null shows none. `decoded` is its picture. */
  show(address: string | null, width: number, height: number, decoded: HTMLImageElement | null = null): void {
    if (address === this.address) return;
    this.annotator?.destroy();
    this.annotator = null;
    this.stage.replaceChildren();
    this.address = address;
    this.size = { width, height };
    this.marks = [];
    if (address) {
      const image = decoded ?? document.createElement("img");
      image.alt = "";
      image.draggable = false;
      if (!decoded) image.src = address;
      this.stage.append(image);
      this.annotator = this.annotate(image);
    }
    this.fit();
  }

  setMarks(marks: Drawn[]): void {
    if (!this.annotator) return;
    if (JSON.stringify(marks) !== JSON.stringify(this.marks)) {
      this.marks = marks;
      this.annotator.setAnnotations(marks.map(annotationOf), true);
      this.label();
    }
    this.decorate();
  }

  /** Lights up a mark, or none. */
  light(number: number | null): void {
    this.lit = number;
    this.decorate();
  }

  /** Leaves out a mark, which something else draws. */
  leaveOut(number: number | null): void {
    this.framed = number;
    this.decorate();
  }

  /** Brings a mark into view. */
  reveal(number: number): void {
    const mark = this.marks.find((one) => one.number === number);
    if (mark && this.zoom > 1) this.centre(mark);
  }

  zoomBy(factor: number, centre?: Point): void {
    const { clientWidth, clientHeight } = this.root;
    const at = centre ?? { x: clientWidth / 2, y: clientHeight / 2 };
    const zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor));
    const change = zoom / this.zoom;
    this.offset = { x: at.x - (at.x - this.offset.x) * change, y: at.y - (at.y - this.offset.y) * change };
    this.zoom = zoom;
    this.place();
  }

  zoomIn(): void {
    this.zoomBy(STEP);
  }

  zoomOut(): void {
    this.zoomBy(1 / STEP);
  }

  fit(): void {
    this.zoom = 1;
    this.place();
  }

  private annotate(image: HTMLImageElement): ImageAnnotator {
    const annotator = createImageAnnotator(image, { drawingEnabled: false, userSelectAction: "NONE" as never });
    // The list next to the photo says the same to a screen reader, and is reached by keyboard.
    const layer = annotator.element.querySelector("svg");
    layer?.setAttribute("aria-hidden", "true");
    layer?.removeAttribute("role");
    layer?.setAttribute("tabindex", "-1");
    annotator.on("mouseEnterAnnotation", (annotation) => this.events.hover(numberOf(annotation)));
    annotator.on("mouseLeaveAnnotation", () => this.events.hover(null));
    return annotator;
  }

  /** Annotorious can style a box only by a `style` attribute, which the Content-Security-Policy forbids. */
  private decorate(): void {
    requestAnimationFrame(() => {
      for (const mark of this.marks) {
        const shape = this.stage.querySelector(`g[data-id="${mark.number}"]`);
        shape?.classList.toggle("screened", mark.isScreened);
        shape?.classList.toggle("open", mark.isOpen === true);
        shape?.classList.toggle("lit", mark.number === this.lit);
        shape?.classList.toggle("framed", mark.number === this.framed);
      }
      for (const tag of this.stage.querySelectorAll<HTMLElement>(".tag")) {
        tag.classList.toggle("lit", Number(tag.textContent) === this.lit);
      }
    });
  }

  private label(): void {
    for (const tag of this.stage.querySelectorAll(".tag")) tag.remove();
    for (const { number, box, isScreened, isOpen } of this.marks) {
      const tag = document.createElement("span");
      tag.className = isOpen ? "tag open" : isScreened ? "tag screened" : "tag";
      tag.textContent = String(number);
      tag.setAttribute("aria-hidden", "true");
      tag.style.left = `${(100 * box.xmin) / this.size.width}%`;
      tag.style.top = `${(100 * box.ymin) / this.size.height}%`;
      this.stage.append(tag);
    }
  }

  /** CSS pixels per pixel of the photo. */
  scale(): number {
    return Math.min(this.root.clientWidth / this.size.width, this.root.clientHeight / this.size.height) * this.zoom;
  }

  /** Applies zoom and offset; the photo never leaves the view. */
  private place(): void {
    const scale = this.scale();
    const held = (room: number, side: number, offset: number) =>
      side <= room ? (room - side) / 2 : Math.min(0, Math.max(room - side, offset));
    const [width, height] = [this.size.width * scale, this.size.height * scale];
    this.offset = {
      x: held(this.root.clientWidth, width, this.offset.x),
      y: held(this.root.clientHeight, height, this.offset.y),
    };
    // The size and not a scale, so that lines and numbers keep their width.
    this.stage.style.width = `${width}px`;
    this.stage.style.height = `${height}px`;
    this.stage.style.transform = `translate(${this.offset.x}px, ${this.offset.y}px)`;
    this.root.classList.toggle("zoomed", this.zoom > 1);
  }

  private centre({ box }: Drawn): void {
    const scale = this.scale();
    const { clientWidth, clientHeight } = this.root;
    const centre = { x: ((box.xmin + box.xmax) / 2) * scale, y: ((box.ymin + box.ymax) / 2) * scale };
    const [x, y] = [centre.x + this.offset.x, centre.y + this.offset.y];
    if (x > 0 && y > 0 && x < clientWidth && y < clientHeight) return;
    this.offset = { x: clientWidth / 2 - centre.x, y: clientHeight / 2 - centre.y };
    this.place();
  }

  /** Where the pointer is, in pixels of the photo. */
  pointOf(event: MouseEvent): Point {
    return this.inPhoto(this.at(event));
  }

  /** The middle of what is visible, in pixels of the photo. */
  middle(): Point {
    return this.inPhoto({ x: this.root.clientWidth / 2, y: this.root.clientHeight / 2 });
  }

  private inPhoto({ x, y }: Point): Point {
    const scale = this.scale();
    return { x: (x - this.offset.x) / scale, y: (y - this.offset.y) / scale };
  }

  private at(event: MouseEvent): Point {
    const { left, top } = this.root.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  private onWheel(event: WheelEvent): void {
    if (event.deltaY > 0 && this.zoom === 1 && !event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    this.zoomBy(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 400)), this.at(event));
  }

  private onDown(event: PointerEvent): void {
    this.pointers.set(event.pointerId, this.at(event));
    if (this.pointers.size === 1) this.moved = 0;
  }

  private onMove(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event);
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    this.pointers.set(event.pointerId, now);
    this.moved += Math.hypot(now.x - before.x, now.y - before.y);
    const other = others[0];
    if (other) {
      const spread = (point: Point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      this.offset = { x: this.offset.x + (now.x - before.x) / 2, y: this.offset.y + (now.y - before.y) / 2 };
      this.zoomBy(spread(now) / spread(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (this.zoom > 1) {
      this.root.setPointerCapture(event.pointerId); // a drag continues outside of the photo
      this.offset = { x: this.offset.x + now.x - before.x, y: this.offset.y + now.y - before.y };
      this.place();
    }
  }

  /** The smallest mark at the pointer: Annotorious reports short clicks only. */
  private onClick(event: MouseEvent): void {
    if (this.moved > CLICK_SLACK) return;
    const { x, y } = this.pointOf(event);
    const [mark] = this.marks
      .filter(({ box }) => x >= box.xmin && x <= box.xmax && y >= box.ymin && y <= box.ymax)
      .sort((a, b) => areaOf(a.box) - areaOf(b.box));
    this.events.pick(mark?.number ?? null);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pan = (x: number, y: number) => () => {
      this.offset = { x: this.offset.x + x * PAN_STEP, y: this.offset.y + y * PAN_STEP };
      this.place();
    };
    const isZoomed = this.zoom > 1;
    const actions: Record<string, () => void> = {
      "+": () => this.zoomIn(),
      "=": () => this.zoomIn(),
      "-": () => this.zoomOut(),
      "0": () => this.fit(),
      PageUp: () => this.events.turn(-1),
      PageDown: () => this.events.turn(1),
      ...(isZoomed && { ArrowLeft: pan(1, 0), ArrowRight: pan(-1, 0), ArrowUp: pan(0, 1), ArrowDown: pan(0, -1) }),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

function numberOf(annotation: { id: string }): number {
  return Number(annotation.id);
}

function annotationOf({ number, box }: Drawn): ImageAnnotation {
  const { xmin: minX, ymin: minY, xmax: maxX, ymax: maxY } = box;
  const id = String(number);
  const geometry = { x: minX, y: minY, w: maxX - minX, h: maxY - minY, bounds: { minX, minY, maxX, maxY } };
  return { id, bodies: [], target: { annotation: id, selector: { type: ShapeType.RECTANGLE, geometry } } };
}
