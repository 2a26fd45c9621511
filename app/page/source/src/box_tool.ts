/** The selected box with its handles: moved, resized and drawn by mouse, pen or finger. Boxes stay upright. */

import { make } from "./elements";
import type { Box } from "./labels";
import type { Point, Viewer } from "./viewer";

const MIN_DRAG = 6; // CSS pixels; less is a click
const MIN_SIDE_OF_ALL_HANDLES = 64; // CSS pixels; a smaller box has them at its corners only

/** Which sides a handle moves: -1 left or upper, 1 right or lower, 0 none. */
const HANDLES: Record<string, [number, number]> = {
  nw: [-1, -1],
  n: [0, -1],
  ne: [1, -1],
  e: [1, 0],
  se: [1, 1],
  s: [0, 1],
  sw: [-1, 1],
  w: [-1, 0],
};

export interface BoxToolEvents {
  changed(box: Box): void;
  drawn(box: Box): void;
  /** A click where a box is to be added. */
  placed(at: Point): void;
}

interface Drag {
  pointer: number;
  from: Point;
  far: number;
  box: Box;
  kind: "draw" | "move" | [number, number];
}

export class BoxTool {
  private readonly frame = make("div", { className: "frame" });
  private readonly tag = make("span");
  private box: Box | null = null;
  private drag: Drag | null = null;
  private adding = false;
  private swallowsClick = false;

  constructor(
    private readonly root: HTMLElement,
    private readonly viewer: Viewer,
    private readonly size: () => { width: number; height: number },
    private readonly events: BoxToolEvents,
  ) {
    this.frame.setAttribute("aria-hidden", "true");
    this.frame.append(this.tag);
    for (const name of Object.keys(HANDLES)) {
      const handle = make("span", { className: `handle ${name}` });
      handle.dataset.handle = name;
      this.frame.append(handle);
    }
    root.addEventListener("pointerdown", (event) => this.onDown(event), true);
    root.addEventListener("pointermove", (event) => this.onMove(event), true);
    root.addEventListener("pointerup", (event) => this.onUp(event), true);
    root.addEventListener("pointercancel", () => this.cancel(), true);
    root.addEventListener("click", (event) => this.onClick(event), true);
  }

  /** Frames this box, or none. */
  show(box: Box | null, number: number, className: string): void {
    this.box = box;
    this.frame.className = `frame ${className}`;
    this.tag.className = `tag ${className === "caries" ? "screened" : className}`;
    this.tag.textContent = String(number);
    if (this.drag) return;
    if (box) this.place(box);
    else this.frame.remove();
  }

  get isAdding(): boolean {
    return this.adding;
  }

  set isAdding(adding: boolean) {
    this.adding = adding;
    this.root.classList.toggle("adding", adding);
  }

  private place(box: Box): void {
    const { width, height } = this.size();
    const share = (value: number, whole: number) => `${(100 * value) / whole}%`;
    this.frame.style.left = share(box.xmin, width);
    this.frame.style.top = share(box.ymin, height);
    this.frame.style.width = share(box.xmax - box.xmin, width);
    this.frame.style.height = share(box.ymax - box.ymin, height);
    const side = Math.min(box.xmax - box.xmin, box.ymax - box.ymin) * this.viewer.scale();
    this.frame.classList.toggle("small", side < MIN_SIDE_OF_ALL_HANDLES);
    if (this.frame.parentElement !== this.viewer.stage) this.viewer.stage.append(this.frame);
  }

  private onDown(event: PointerEvent): void {
    this.swallowsClick = false;
    if (this.drag || !event.isPrimary || event.button !== 0) return;
    const target = event.target as HTMLElement;
    const handle = HANDLES[target.dataset.handle ?? ""];
    const from = this.viewer.pointOf(event);
    const start = { pointer: event.pointerId, from, far: 0 };
    if (this.adding) {
      const box = { xmin: from.x, ymin: from.y, xmax: from.x, ymax: from.y };
      this.drag = { ...start, box, kind: "draw" };
    } else if (this.box && (handle || this.frame.contains(target))) {
      this.drag = { ...start, box: this.box, kind: handle ?? "move" };
    } else {
      return;
    }
    event.stopImmediatePropagation();
    this.root.setPointerCapture(event.pointerId);
  }

  private onMove(event: PointerEvent): void {
    if (event.pointerId !== this.drag?.pointer) return;
    event.stopImmediatePropagation();
    const at = this.viewer.pointOf(event);
    const { from } = this.drag;
    this.drag.far = Math.max(this.drag.far, Math.hypot(at.x - from.x, at.y - from.y) * this.viewer.scale());
    if (this.drag.far >= MIN_DRAG) this.place(this.dragged(this.drag, at));
  }

  private onUp(event: PointerEvent): void {
    const { drag } = this;
    if (event.pointerId !== drag?.pointer) return;
    event.stopImmediatePropagation();
    const box = this.dragged(drag, this.viewer.pointOf(event));
    this.drag = null;
    const isClick = drag.far < MIN_DRAG;
    this.swallowsClick = !isClick || drag.kind === "draw";
    if (drag.kind === "draw") {
      if (isClick) this.events.placed(drag.from);
      else this.events.drawn(box);
    } else if (!isClick) {
      this.events.changed(box);
    }
  }

  private cancel(): void {
    if (!this.drag) return;
    this.drag = null;
    if (this.box) this.place(this.box);
    else this.frame.remove();
  }

  private onClick(event: MouseEvent): void {
    if (this.swallowsClick) event.stopImmediatePropagation();
    this.swallowsClick = false;
  }

  /** The box of the drag with the pointer here, within the photo. */
  private dragged({ box, from, kind }: Drag, at: Point): Box {
    const { width, height } = this.size();
    const [dx, dy] = [at.x - from.x, at.y - from.y];
    if (kind === "move") {
      const x = Math.max(-box.xmin, Math.min(width - box.xmax, dx));
      const y = Math.max(-box.ymin, Math.min(height - box.ymax, dy));
      return { xmin: box.xmin + x, ymin: box.ymin + y, xmax: box.xmax + x, ymax: box.ymax + y };
    }
    const [sideX, sideY] = kind === "draw" ? [1, 1] : kind;
    const xs = [box.xmin + (sideX < 0 ? dx : 0), box.xmax + (sideX > 0 ? dx : 0)];
    const ys = [box.ymin + (sideY < 0 ? dy : 0), box.ymax + (sideY > 0 ? dy : 0)];
    const held = (value: number, most: number) => Math.max(0, Math.min(most, value));
    return {
      xmin: held(Math.min(...xs), width),
      ymin: held(Math.min(...ys), height),
      xmax: held(Math.max(...xs), width),
      ymax: held(Math.max(...ys), height),
    };
  }
}
