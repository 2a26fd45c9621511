/** Labels while they are corrected: every change, and its undoing. */

import { areaOf, type Box, type ClassName, type Labels, type Tooth } from "./labels";

const MIN_SIDE = 3; // pixels of the photo
const SHARE_OF_PHOTO = 1 / 8; // side of a new box where no other shows how large a tooth is

type State = Pick<Labels, "teeth" | "empty"> & { selected: number | null };

export class Correction {
  teeth: Tooth[];
  empty: Labels["empty"];
  selected: number | null = null;
  private readonly before: State[] = [];
  private lastStep = "";

  constructor(
    labels: Pick<Labels, "teeth" | "empty">,
    private readonly width: number,
    private readonly height: number,
  ) {
    this.teeth = [...labels.teeth];
    this.empty = labels.empty;
  }

  get canUndo(): boolean {
    return this.before.length > 0;
  }

  get isUndecided(): boolean {
    return this.teeth.some((tooth) => tooth.class === null);
  }

  selectedTooth(): Tooth | null {
    return this.selected === null ? null : (this.teeth[this.selected] ?? null);
  }

  undo(): void {
    const state = this.before.pop();
    if (state) Object.assign(this, state);
    this.lastStep = "";
  }

  add(box: Box): void {
    this.step();
    this.teeth = [...this.teeth, { class: "caries", box: this.within(box) }];
    this.selected = this.teeth.length - 1;
  }

  /** Adds a box as large as the others around a point. */
  addAt(x: number, y: number): void {
    const boxes = this.teeth.map((tooth) => tooth.box).sort((a, b) => areaOf(a) - areaOf(b));
    const usual = boxes[Math.floor(boxes.length / 2)];
    const side = Math.min(this.width, this.height) * SHARE_OF_PHOTO;
    const width = usual ? usual.xmax - usual.xmin : side;
    const height = usual ? usual.ymax - usual.ymin : side;
    const [xmin, ymin] = [x - width / 2, y - height / 2];
    this.add(this.shifted({ xmin, ymin, xmax: xmin + width, ymax: ymin + height }, 0, 0));
  }

  remove(): void {
    const at = this.selected;
    if (at === null) return;
    this.step();
    this.teeth = this.teeth.filter((_, n) => n !== at);
    this.selected = null;
  }

  setClass(name: ClassName): void {
    const tooth = this.selectedTooth();
    if (!tooth || tooth.class === name) return;
    this.step();
    this.replace({ ...tooth, class: name });
  }

  setBox(box: Box): void {
    const tooth = this.selectedTooth();
    if (!tooth) return;
    this.step();
    this.replace({ ...tooth, box: this.within(box) });
  }

  move(dx: number, dy: number): void {
    const tooth = this.selectedTooth();
    if (!tooth) return;
    this.step(`move ${this.selected}`);
    this.replace({ ...tooth, box: this.shifted(tooth.box, dx, dy) });
  }

  /** Makes the selected box wider and higher, to the right and below. */
  grow(dx: number, dy: number): void {
    const tooth = this.selectedTooth();
    if (!tooth) return;
    this.step(`grow ${this.selected}`);
    const { xmin, ymin, xmax, ymax } = tooth.box;
    const box = { xmin, ymin, xmax: Math.max(xmin + MIN_SIDE, xmax + dx), ymax: Math.max(ymin + MIN_SIDE, ymax + dy) };
    this.replace({ ...tooth, box: this.within(box) });
  }

  /** Every tooth is sound, or every one without a class. */
  allSound(onlyUndecided: boolean): void {
    this.step();
    this.teeth = this.teeth.map((tooth) =>
      onlyUndecided && tooth.class !== null ? tooth : { ...tooth, class: "normal" as const },
    );
    if (!onlyUndecided) this.empty = "sound";
  }

  notAssessable(): void {
    this.step();
    this.teeth = [];
    this.empty = "not_assessable";
    this.selected = null;
  }

  /** Other labels, which undo takes back. */
  become(labels: Pick<Labels, "teeth" | "empty">): void {
    this.step();
    this.teeth = [...labels.teeth];
    this.empty = labels.empty;
    this.selected = null;
  }

  /** A box within the photo, of at least the smallest size. */
  within(box: Box): Box {
    const side = (low: number, high: number, most: number): [number, number] => {
      const from = Math.max(0, Math.min(low, most - MIN_SIDE));
      return [tenths(from), tenths(Math.min(most, Math.max(high, from + MIN_SIDE)))];
    };
    const [xmin, xmax] = side(box.xmin, box.xmax, this.width);
    const [ymin, ymax] = side(box.ymin, box.ymax, this.height);
    return { xmin, ymin, xmax, ymax };
  }

  /** A moved box of the same size within the photo. */
  shifted({ xmin, ymin, xmax, ymax }: Box, dx: number, dy: number): Box {
    const x = Math.max(-xmin, Math.min(this.width - xmax, dx));
    const y = Math.max(-ymin, Math.min(this.height - ymax, dy));
    return this.within({ xmin: xmin + x, ymin: ymin + y, xmax: xmax + x, ymax: ymax + y });
  }

  /** Remembers the state, but for further steps of the same name. */
  private step(name = ""): void {
    if (!name || name !== this.lastStep) {
      this.before.push({ teeth: this.teeth, empty: this.empty, selected: this.selected });
    }
    this.lastStep = name;
  }

  private replace(tooth: Tooth): void {
    this.teeth = this.teeth.map((one, n) => (n === this.selected ? tooth : one));
  }
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
