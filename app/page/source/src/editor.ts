/** The photo that is corrected: its boxes, their list, and the buttons and keys that change them. */

import { BoxTool } from "./box_tool";
import { Correction } from "./correction";
import { byId, make } from "./elements";
import { type ClassName, type Labels, type Tooth, verdictOf, VIEWS } from "./labels";
import { texts } from "./texts";
import { Viewer } from "./viewer";

export interface EditorEvents {
  /** After every change of the labels. */
  changed(): void;
  confirm(): void;
  turn(step: 1 | -1): void;
}

/** Another reader's boxes, shown for comparison. */
export interface Ghosts {
  letter: string;
  teeth: Tooth[];
}

const STEP_SHARE = 1 / 250; // of the photo's longer side, a key press

/** What the buttons and keys for moving do: moves, or changes of width and height. */
const NUDGES = {
  moveLeft: { key: "ArrowLeft", sign: "←", grows: false, x: -1, y: 0 },
  moveRight: { key: "ArrowRight", sign: "→", grows: false, x: 1, y: 0 },
  moveUp: { key: "ArrowUp", sign: "↑", grows: false, x: 0, y: -1 },
  moveDown: { key: "ArrowDown", sign: "↓", grows: false, x: 0, y: 1 },
  narrower: { key: "ArrowLeft", sign: "→←", grows: true, x: -1, y: 0 },
  wider: { key: "ArrowRight", sign: "←→", grows: true, x: 1, y: 0 },
  lower: { key: "ArrowUp", sign: "↓↑", grows: true, x: 0, y: -1 },
  higher: { key: "ArrowDown", sign: "↑↓", grows: true, x: 0, y: 1 },
} as const;

export class Editor {
  private readonly root = byId("edit-viewer");
  private readonly viewer: Viewer;
  private readonly tool: BoxTool;
  private correction = new Correction({ teeth: [], empty: null }, 1, 1);
  private size = { width: 1, height: 1 };
  private ghosts: Ghosts[] = [];

  constructor(private readonly events: EditorEvents) {
    this.viewer = new Viewer(this.root, {
      hover: (number) => this.viewer.light(number),
      pick: (number) => this.select(number === null ? null : number - 1),
      turn: events.turn,
    });
    this.tool = new BoxTool(this.root, this.viewer, () => this.size, {
      changed: (box) => this.change(() => this.correction.setBox(box)),
      drawn: (box) => this.added(() => this.correction.add(box)),
      placed: ({ x, y }) => this.added(() => this.correction.addAt(x, y)),
    });
    // Before the viewer, whose arrow keys move the photo.
    this.root.addEventListener("keydown", (event) => this.onKey(event), true);
    byId("teeth").addEventListener("keydown", (event) => this.onKey(event));
    const click = (id: string, run: () => void) => byId(id).addEventListener("click", (event) => this.press(event, run));
    click("add-box", () => this.add());
    click("undo", () => this.undo());
    click("as-caries", () => this.setClass("caries"));
    click("as-normal", () => this.setClass("normal"));
    click("delete-box", () => this.remove());
    click("rest-sound", () => this.change(() => this.correction.allSound(true)));
    click("all-sound", () => this.change(() => this.correction.allSound(false)));
    click("not-assessable", () => this.change(() => this.correction.notAssessable()));
    click("edit-zoom-in", () => this.viewer.zoomIn());
    click("edit-zoom-out", () => this.viewer.zoomOut());
    click("edit-fit", () => this.viewer.fit());
    byId("confirm").addEventListener("click", () => this.confirm());
    for (const id of ["edit-view", "note"]) byId(id).addEventListener("input", () => events.changed());
  }

  /** Opens a photo with these labels; `address` is that of its picture. */
  open(address: string, width: number, height: number, labels: Labels): void {
    this.size = { width, height };
    this.correction = new Correction(labels, width, height);
    this.ghosts = [];
    this.tool.isAdding = false;
    this.viewer.show(address, width, height);
    byId<HTMLSelectElement>("edit-view").value = labels.view ?? "";
    byId<HTMLTextAreaElement>("note").value = labels.note;
    this.render();
  }

  close(): void {
    this.viewer.show(null, 1, 1);
  }

  /** Takes over other labels; undo brings the boxes back. */
  become(labels: Labels): void {
    this.change(() => {
      byId<HTMLSelectElement>("edit-view").value = labels.view ?? "";
      byId<HTMLTextAreaElement>("note").value = labels.note;
      this.correction.become(labels);
    });
  }

  labels(): Labels {
    const { teeth, empty } = this.correction;
    const view = byId<HTMLSelectElement>("edit-view").value;
    return {
      teeth,
      empty,
      view: VIEWS.find((one) => one === view) ?? null,
      note: byId<HTMLTextAreaElement>("note").value,
    };
  }

  compare(ghosts: Ghosts[]): void {
    this.ghosts = ghosts;
    for (const old of this.viewer.stage.querySelectorAll(".ghost")) old.remove();
    const { width, height } = this.size;
    ghosts.forEach(({ letter, teeth }, n) => {
      for (const { class: name, box } of teeth.filter((tooth) => tooth.class === "caries")) {
        const ghost = make("span", { className: `ghost ghost-${n % 2} ${name}`, textContent: letter });
        ghost.setAttribute("aria-hidden", "true");
        ghost.style.left = `${(100 * box.xmin) / width}%`;
        ghost.style.top = `${(100 * box.ymin) / height}%`;
        ghost.style.width = `${(100 * (box.xmax - box.xmin)) / width}%`;
        ghost.style.height = `${(100 * (box.ymax - box.ymin)) / height}%`;
        this.viewer.stage.append(ghost);
      }
    });
  }

  focus(): void {
    this.root.focus({ preventScroll: true });
  }

  /** In the page's language. */
  speak(): void {
    const words = texts();
    fillViews(byId<HTMLSelectElement>("edit-view"));
    byId("nudges").replaceChildren(
      ...Object.entries(NUDGES).map(([name, nudge]) => {
        const label = words.nudges[name as keyof typeof NUDGES];
        const button = make("button", { type: "button", textContent: nudge.sign, title: label });
        button.setAttribute("aria-label", label);
        button.onclick = () => this.nudge(nudge);
        return button;
      }),
    );
    byId("keys-list").replaceChildren(
      ...words.keys.map(([key, action]) =>
        make("div", {}, make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: action })),
      ),
    );
    this.render();
  }

  /** Runs a button; after a click the keys of the photo work again. */
  private press(event: MouseEvent, run: () => void): void {
    run();
    if (event.detail > 0) this.focus();
  }

  private change(run: () => void): void {
    const before = JSON.stringify(this.labels());
    run();
    this.render();
    if (JSON.stringify(this.labels()) !== before) this.events.changed();
  }

  private added(run: () => void): void {
    this.tool.isAdding = false;
    this.change(run);
    this.focus();
  }

  private select(place: number | null): void {
    this.correction.selected = place;
    this.render();
  }

  /** Waits for a box to be drawn; the second time it puts one in the middle. */
  private add(): void {
    if (!this.tool.isAdding) {
      this.tool.isAdding = true;
      this.correction.selected = null;
      return this.render();
    }
    const { x, y } = this.viewer.middle();
    this.added(() => this.correction.addAt(x, y));
  }

  private undo(): void {
    if (this.tool.isAdding) this.tool.isAdding = false;
    else this.correction.undo();
    this.change(() => undefined);
  }

  private setClass(name: ClassName): void {
    this.change(() => this.correction.setClass(name));
  }

  private remove(): void {
    const place = this.correction.selected;
    if (place === null) return;
    const isInList = byId("teeth").contains(document.activeElement);
    this.change(() => this.correction.remove());
    const rows = byId("teeth").querySelectorAll<HTMLElement>("button");
    if (isInList) (rows[Math.min(place, rows.length - 1)] ?? this.root).focus();
  }

  private nudge({ grows, x, y }: { grows: boolean; x: number; y: number }): void {
    const step = Math.max(1, Math.round(Math.max(this.size.width, this.size.height) * STEP_SHARE));
    this.change(() => (grows ? this.correction.grow(x * step, y * step) : this.correction.move(x * step, y * step)));
  }

  private confirm(): void {
    if (verdictOf(this.correction) !== null) this.events.confirm();
  }

  private onKey(event: KeyboardEvent): void {
    const isUndo = (event.ctrlKey || event.metaKey) && keyOf(event) === "z";
    if (!isUndo && (event.ctrlKey || event.metaKey || event.altKey)) return;
    const action = isUndo ? () => this.undo() : this.actionOf(event);
    if (!action) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    action();
  }

  private actionOf(event: KeyboardEvent): (() => void) | undefined {
    const key = keyOf(event);
    const nudge = Object.values(NUDGES).find((one) => one.key === key && one.grows === event.shiftKey);
    if (nudge && this.correction.selected !== null) return () => this.nudge(nudge);
    const isInPhoto = event.currentTarget === this.root;
    const actions: Record<string, () => void> = {
      a: () => this.add(),
      z: () => this.undo(),
      "1": () => this.setClass("caries"),
      "2": () => this.setClass("normal"),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      s: () => this.change(() => this.correction.allSound(false)),
      r: () => this.change(() => this.correction.allSound(true)),
      x: () => this.change(() => this.correction.notAssessable()),
      Enter: () => (this.tool.isAdding ? this.add() : this.confirm()),
      Escape: () => {
        this.tool.isAdding = false;
        this.select(null);
      },
      PageUp: () => this.events.turn(-1),
      PageDown: () => this.events.turn(1),
      ...(isInPhoto && { n: () => this.step(1), p: () => this.step(-1) }),
    };
    return actions[key];
  }

  /** Selects the next box, or the one before. */
  private step(by: 1 | -1): void {
    const count = this.correction.teeth.length;
    if (!count) return;
    const from = this.correction.selected ?? (by > 0 ? -1 : count);
    this.select((from + by + count) % count);
    this.viewer.reveal(this.correction.selected! + 1);
  }

  private render(): void {
    const words = texts();
    const { teeth, selected } = this.correction;
    this.viewer.setMarks(
      teeth.map((tooth, n) => ({
        number: n + 1,
        box: tooth.box,
        isScreened: tooth.class === "caries",
        isOpen: tooth.class === null,
      })),
    );
    this.viewer.leaveOut(selected === null ? null : selected + 1);
    const tooth = this.correction.selectedTooth();
    this.tool.show(tooth?.box ?? null, (selected ?? 0) + 1, tooth?.class ?? "open");
    this.renderRows();
    const boxButtons = byId("edit").querySelectorAll<HTMLButtonElement>("#box-tools button, #nudges button");
    for (const button of boxButtons) button.disabled = !tooth;
    byId("as-caries").setAttribute("aria-pressed", String(tooth?.class === "caries"));
    byId("as-normal").setAttribute("aria-pressed", String(tooth?.class === "normal"));
    byId("add-box").setAttribute("aria-pressed", String(this.tool.isAdding));
    byId("edit-hint").textContent = this.tool.isAdding ? words.addHint : tooth ? words.selectedHint : words.selectHint;
    byId<HTMLButtonElement>("undo").disabled = !this.correction.canUndo;
    byId("rest-sound").hidden = !this.correction.isUndecided;
    const verdict = verdictOf(this.correction);
    byId("all-sound").setAttribute("aria-pressed", String(verdict === "sound"));
    byId("not-assessable").setAttribute("aria-pressed", String(verdict === "not_assessable"));
    byId<HTMLButtonElement>("confirm").disabled = verdict === null;
    const carious = teeth.filter((one) => one.class === "caries").length;
    const open = teeth.filter((one) => one.class === null).length;
    byId("finish-text").textContent =
      verdict !== null ? words.said(verdict, carious) : open ? words.undecided(open) : words.unsaid;
    byId("finish-text").className = verdict ?? "undecided";
    this.compare(this.ghosts);
  }

  /** Rows stay where they are, so that they keep the focus. */
  private renderRows(): void {
    const list = byId("teeth");
    const { teeth, selected } = this.correction;
    byId("no-teeth").hidden = teeth.length > 0;
    while (list.childElementCount > teeth.length) list.lastElementChild?.remove();
    while (list.childElementCount < teeth.length) list.append(this.newRow(list.childElementCount));
    list.querySelectorAll("button").forEach((row, place) => {
      const name = teeth[place]?.class ?? null;
      row.className = `mark ${name === "caries" ? "screened" : (name ?? "open")}`;
      row.setAttribute("aria-pressed", String(place === selected));
      const text = row.querySelector(".class");
      if (text) text.textContent = name ? texts().toothNames[name] : texts().openClass;
    });
  }

  private newRow(place: number): HTMLLIElement {
    const select = () => {
      if (this.correction.selected !== place) this.select(place);
      this.viewer.reveal(place + 1);
    };
    const number = make("span", { className: "number", textContent: String(place + 1) });
    const row = make("button", { type: "button", onclick: select, onfocus: select }, number);
    row.append(make("span", { className: "class" }));
    return make("li", {}, row);
  }
}

export function fillViews(select: HTMLSelectElement): void {
  const { value } = select;
  const words = texts();
  select.replaceChildren(
    make("option", { value: "", textContent: words.unknownView }),
    ...VIEWS.map((view) => make("option", { value: view, textContent: words.views[view] })),
  );
  select.value = value;
}

/** The key, letters by their place where the keyboard writes others, as a Korean one does. */
function keyOf(event: KeyboardEvent): string {
  if (/^[a-z0-9]$/i.test(event.key)) return event.key.toLowerCase();
  const [, letter] = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code) ?? [];
  return letter && !/^[ -~]$/.test(event.key) ? letter.toLowerCase() : event.key;
}
