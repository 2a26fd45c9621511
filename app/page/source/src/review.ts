/** The review view: photos in their order, the one that is corrected, and what becomes of it. */

import { type Call, newCall, RequestFailed } from "./client";
import { Conflict, type Job, liveDigest, PageDesk, StoreDesk } from "./desks";
import { draftAt, draftKey, dropDraft, keepDraft } from "./drafts";
import { Editor, type Ghosts } from "./editor";
import { byId, make } from "./elements";
import { save } from "./exports";
import type { Labels } from "./labels";
import { lineOf, type Notice, notify } from "./notices";
import type { Photo } from "./photos";
import { type LabelRecord, labelsOf, ORDERS, type Order, type PhotoEntry, STATES, type State } from "./reviews";
import { askToSignIn, isSignInMissing, knowReader, mayReview, readerName } from "./session";
import { store, stored } from "./stored";
import { texts } from "./texts";
import { dayOf, sentenceOf, timeOf, waitOf } from "./words";

const QUEUES = [...STATES, "all"] as const;
const LETTERS = "ABCDEFGH";

interface Entry {
  id: number;
  title: string;
  detail: string;
  state: string;
  className: string;
}

export interface PagePhotos {
  all: () => Photo[];
  /** What the page shows of a photo, as labels. */
  labels: (photo: Photo) => Labels | null;
}

export class ReviewView {
  private readonly editor: Editor;
  private readonly storeDesk: StoreDesk;
  private readonly pageDesk: PageDesk;
  private entries: Entry[] = [];
  private job: Job | null = null;
  private wanted: number | null = null;
  private digest: string | null = null;
  private opened = 0;
  private isConflict = false;

  constructor(pagePhotos: PagePhotos) {
    this.storeDesk = new StoreDesk(() => this.call());
    this.pageDesk = new PageDesk(pagePhotos.all, pagePhotos.labels, () => this.call());
    this.editor = new Editor({
      changed: () => this.onChange(),
      confirm: () => (this.isConflict ? byId("edit-notices").querySelector("button")?.focus() : void this.save()),
      turn: (step) => this.turn(step),
    });
    for (const id of ["queue-state", "queue-order"]) {
      byId(id).addEventListener("change", () => {
        store(id, byId<HTMLSelectElement>(id).value);
        void this.show(null);
      });
    }
    byId("queue-more").addEventListener("click", () => void this.guarded(() => this.loadMore()));
    byId("open-by-number").addEventListener("submit", (event) => {
      event.preventDefault();
      const number = byId<HTMLInputElement>("queue-number");
      number.blur();
      const address = `#review/${number.valueAsNumber}`;
      if (location.hash === address) dispatchEvent(new Event("hashchange"));
      else location.hash = address;
    });
    byId("edit-previous").addEventListener("click", () => this.turn(-1));
    byId("edit-next").addEventListener("click", () => this.turn(1));
    byId("save-zip").addEventListener("click", () => void this.saveZip());
    byId("edit-patient").addEventListener("input", () => {
      const input = byId<HTMLInputElement>("edit-patient");
      if (this.job && input.checkValidity()) this.pageDesk.setPatient(this.job.id, input.value);
    });
  }

  /** Shows the queue, and this photo or the first. */
  async show(id: number | null): Promise<void> {
    this.wanted = id;
    const { opened } = this;
    await this.guarded(async () => {
      if (!(await this.mayShow())) return;
      await this.loadEntries();
      if (id === null && opened !== this.opened) return; // the reader opened one meanwhile
      const first = this.job && this.entries.some((entry) => entry.id === this.job?.id) ? this.job.id : this.entries[0]?.id;
      await this.open(id ?? first ?? null);
    });
  }

  /** In the page's language. */
  speak(): void {
    const words = texts();
    const fill = (id: string, options: readonly string[], names: Record<string, string>, value: string) => {
      const select = byId<HTMLSelectElement>(id);
      select.replaceChildren(...options.map((one) => make("option", { value: one, textContent: names[one] ?? one })));
      select.value = value;
    };
    fill("queue-state", QUEUES, words.queues, this.state());
    fill("queue-order", ORDERS, words.orders, this.order());
    this.editor.speak();
    if (byId("review").hidden) return;
    void this.guarded(async () => {
      await this.loadEntries();
      this.renderJob();
    });
  }

  private state(): State | "all" {
    return stored("queue-state", QUEUES) ?? "waiting";
  }

  private order(): Order {
    return stored("queue-order", ORDERS) ?? "uncertainty";
  }

  private call(): Call {
    return newCall((waiting) => {
      byId("finish-text").textContent = byId("desk-text").textContent = waitOf(waiting);
    });
  }

  /** Whether it is known who reads. */
  private async mayShow(): Promise<boolean> {
    if (!mayReview()) return !isSignInMissing();
    if (await knowReader()) return true;
    this.close();
    const action = { text: texts().giveName, run: () => void this.show(this.wanted) };
    byId("desk-text").replaceChildren(lineOf({ text: texts().readerNeeded, detail: "", action }));
    return false;
  }

  private async loadEntries(): Promise<void> {
    const isStore = mayReview();
    this.entries = isStore
      ? (await this.storeDesk.entries(this.state(), this.order())).map((entry) => entryOf(entry, this.state()))
      : this.pageDesk.entries().map((photo) => this.pageEntry(photo));
    byId("queue-choices").hidden = !isStore;
    this.renderQueue();
  }

  /** Adds the next page of the store's list, and moves the focus to it. */
  private async loadMore(): Promise<void> {
    const { entries } = this;
    const { length } = entries;
    const page = await this.storeDesk.entries(this.state(), this.order(), length);
    if (entries !== this.entries) return; // another list was loaded meanwhile
    const known = new Set(entries.map((entry) => entry.id));
    entries.push(...page.filter((entry) => !known.has(entry.id)).map((entry) => entryOf(entry, this.state())));
    this.renderQueue();
    byId("entries").querySelectorAll("button")[length]?.focus();
  }

  private async open(id: number | null): Promise<void> {
    const turn = ++this.opened;
    if (id === null) return this.close();
    const job = mayReview() ? await this.storeDesk.open(id) : this.pageDesk.open(id);
    if (turn !== this.opened) return; // another one was opened meanwhile
    if (!job) return this.close();
    this.job = job;
    this.isConflict = false;
    byId("edit").hidden = false;
    byId("edit-notices").replaceChildren();
    const draft = job.reviewed && draftAt(this.draftKey(job));
    this.editor.open(job.picture, job.width, job.height, draft?.labels ?? job.labels);
    if (draft) this.tellOfDraft(job, draft.version, draft.savedAt);
    this.renderJob();
    // A photo that arrives late does not interrupt typing, or the choice of a queue by arrow keys.
    if (!byId("queue-choices").contains(document.activeElement)) this.editor.focus();
    const { top, bottom } = byId("edit-viewer").getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) byId("edit").scrollIntoView();
    byId("entries").querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    const next = this.neighbour(1);
    if (job.reviewed && next) this.storeDesk.prefetch(next.id);
    void this.checkModel();
  }

  private close(): void {
    this.job = null;
    this.editor.close();
    byId("edit").hidden = true;
    this.renderQueue();
  }

  private turn(step: 1 | -1): void {
    const next = this.neighbour(step);
    if (next) void this.guarded(() => this.open(next.id));
  }

  private neighbour(step: 1 | -1): Entry | undefined {
    return this.entries[this.entries.findIndex((entry) => entry.id === this.job?.id) + step];
  }

  private draftKey(job: Job): string {
    return draftKey(readerName() ?? "", job.kind, job.reviewed?.sha256 ?? "");
  }

  private onChange(): void {
    const { job } = this;
    if (!job) return;
    const labels = this.editor.labels();
    if (job.reviewed) keepDraft(this.draftKey(job), job.version, labels);
    else this.pageDesk.keepDraft(job.id, labels);
  }

  private tellOfDraft(job: Job, version: number, savedAt: string): void {
    const words = texts();
    const discard = () => {
      dropDraft(this.draftKey(job));
      void this.guarded(() => this.open(job.id));
    };
    const time = timeOf(new Date(savedAt));
    const text = version === job.version ? words.draftFound(time) : words.draftOutdated(time);
    this.tell({ text, detail: "", action: { text: words.discardDraft, run: discard } });
  }

  /** Sends the labels, and opens the next photo. */
  private async save(): Promise<void> {
    const { job } = this;
    const labels = this.editor.labels();
    if (!job) return;
    const patient = byId<HTMLInputElement>("edit-patient");
    if (!patient.checkValidity()) return void patient.reportValidity();
    this.isConflict = false;
    byId("edit-notices").replaceChildren();
    byId("edit").inert = true;
    try {
      if (job.reviewed) {
        await this.storeDesk.save(job, labels);
        dropDraft(this.draftKey(job));
      } else {
        this.pageDesk.save(job.id, labels);
      }
    } catch (error) {
      byId("edit").inert = false;
      this.editor.focus();
      if (error instanceof Conflict) this.tellOfConflict(error, labels);
      else if (error instanceof RequestFailed) this.tellOfFailure(error, () => void this.save());
      else throw error;
      return;
    }
    byId("edit").inert = false;
    void this.checkModel();
    await this.guarded(() => this.proceed(job));
  }

  private async proceed(done: Job): Promise<void> {
    const next = this.neighbour(1) ?? this.entries.find((entry) => entry.id !== done.id);
    if (!done.reviewed) {
      await this.loadEntries();
      const open = this.pageDesk.entries().find((photo) => !this.pageDesk.isCorrected(photo));
      return this.open(this.neighbour(1)?.id ?? open?.id ?? done.id);
    }
    this.job = null; // what is pressed until the next one is open changes nothing
    if (this.state() !== "all" && this.state() !== "done") {
      this.entries = this.entries.filter((entry) => entry.id !== done.id);
    }
    if (!this.entries.length) await this.loadEntries();
    else if (this.storeDesk.counts) await this.storeDesk.recount();
    await this.open(next?.id ?? this.entries[0]?.id ?? null);
  }

  /** Another one wrote this record: both are kept until the reader chooses. */
  private tellOfConflict({ failure, job, record }: Conflict, labels: Labels): void {
    if (this.job && this.job.kind !== job.kind) dropDraft(this.draftKey(this.job));
    this.job = job;
    keepDraft(this.draftKey(job), job.version, labels);
    this.renderJob();
    const words = texts();
    if (!record) return this.tellOfFailure(failure);
    this.isConflict = true;
    this.editor.compare([{ letter: "!", teeth: record.boxes }]);
    const take = () => {
      this.isConflict = false;
      this.editor.become(labelsOf(record));
      this.editor.compare([]);
      byId("edit-notices").replaceChildren();
    };
    this.tell({ text: words.conflict(this.describe(record)), detail: "", action: { text: words.takeTheirs, run: take } });
    const keep = make("button", { type: "button", textContent: words.keepMine, onclick: () => void this.save() });
    byId("edit-notices").lastElementChild?.append(" ", keep);
  }

  private tellOfFailure({ failure }: RequestFailed, again?: () => void): void {
    const sentence = sentenceOf(failure);
    this.tell({ ...sentence, ...(again && { action: { text: texts().tryAgain, run: again } }) });
    this.tell({ text: texts().draftKept, detail: "" });
  }

  private tell(notice: Notice): void {
    byId("edit-notices").append(lineOf(notice));
  }

  /** A failure to load is told where the queue is. */
  private async guarded(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error;
      const again = () => (isSignInMissing() ? void askToSignIn() : void this.show(this.wanted));
      const action = { text: texts().tryAgain, run: again };
      byId("desk-text").replaceChildren(lineOf({ ...sentenceOf(error.failure), action }));
    }
  }

  /** Tells of a new model; a server that does not answer is told of by what needs it. */
  private async checkModel(): Promise<void> {
    const digest = await liveDigest(newCall()).catch(() => this.digest);
    if (this.digest !== null && digest !== this.digest) notify({ text: texts().reviewModelChanged, detail: "" });
    this.digest = digest;
  }

  private async saveZip(): Promise<void> {
    await this.guarded(async () => save(await this.pageDesk.zip(), `caries-corrections-${new Date().toISOString().slice(0, 10)}.zip`));
  }

  // ---- what is shown

  private renderQueue(): void {
    const words = texts();
    const isStore = mayReview();
    const { counts } = this.storeDesk;
    const corrected = this.pageDesk.corrected().length;
    byId("save-zip").hidden = isStore || !corrected;
    const empty = isStore ? words.queueEmpty[this.state()] : words.nothingToCorrect;
    const summary = isStore ? counts && words.counts(counts.photos) : words.corrected(corrected, this.entries.length);
    byId("desk-text").textContent = [summary ?? "", this.entries.length ? "" : empty].filter(Boolean).join(" ");
    byId("queue").hidden = this.entries.length < 2 && !this.storeDesk.hasMore;
    byId<HTMLButtonElement>("edit-previous").disabled = !this.neighbour(-1);
    byId<HTMLButtonElement>("edit-next").disabled = !this.neighbour(1);
    byId("queue-more").hidden = !isStore || !this.storeDesk.hasMore;
    byId("entries").replaceChildren(...this.entries.map((entry) => this.card(entry)));
  }

  private card({ id, title, detail, state, className }: Entry): HTMLLIElement {
    const open = make("button", { type: "button", className: "card", onclick: () => void this.guarded(() => this.open(id)) });
    open.append(make("span", { className: "file", textContent: title }), make("span", { textContent: detail }));
    if (state) open.append(make("span", { className: "state", textContent: state }));
    open.setAttribute("aria-current", String(id === this.job?.id));
    return make("li", { className }, open);
  }

  private pageEntry(photo: Photo): Entry {
    const isDone = this.pageDesk.isCorrected(photo);
    const state = isDone ? texts().correctedState : texts().openState;
    return { id: photo.id, title: photo.name, detail: "", state, className: isDone ? "done" : "" };
  }

  private renderJob(): void {
    const { job } = this;
    if (!job) return;
    const words = texts();
    this.renderQueue();
    const title = this.entries.find((entry) => entry.id === job.id)?.title ?? "";
    byId("edit-name").textContent = job.reviewed ? words.photoNumber(job.id) : title;
    byId("edit-patient-field").hidden = job.reviewed !== null;
    byId("note-field").hidden = job.reviewed === null;
    byId<HTMLInputElement>("edit-patient").value = job.reviewed ? "" : this.pageDesk.patientOf(job.id);
    byId("edit-facts").textContent = job.reviewed ? words.reviewFacts(job.reviewed) : "";
    this.renderOthers(job);
  }

  /** What others said, where this reader may see it. */
  private renderOthers(job: Job): void {
    const words = texts();
    const root = byId("others");
    const readings = job.reviewed?.readings.filter((one) => job.kind === "consensus" || one.reader !== readerName()) ?? [];
    root.hidden = !readings.length;
    if (!readings.length) return;
    const ghosts: Ghosts[] = readings.map((record, n) => ({ letter: LETTERS[n] ?? "?", teeth: record.boxes }));
    const box = make("input", { type: "checkbox", checked: job.kind === "consensus" });
    box.onchange = () => this.editor.compare(box.checked ? ghosts : []);
    root.replaceChildren(
      make("h3", { textContent: job.kind === "consensus" ? words.settle : words.others }),
      ...(job.kind === "consensus" ? [make("p", { className: "small", textContent: words.settleHint })] : []),
      ...readings.map((record, n) =>
        make("p", {}, make("b", { className: `letter ghost-${n % 2}`, textContent: LETTERS[n] ?? "?" }), " ", this.describe(record)),
      ),
      make("label", { className: "check" }, box, " ", words.showTheirs),
    );
    if (box.checked) this.editor.compare(ghosts);
  }

  private describe(record: LabelRecord): string {
    const carious = record.boxes.filter((tooth) => tooth.class === "caries").length;
    const said = texts().said(record.verdict, carious);
    return texts().readBy(record.reader, said, timeOf(new Date(record.updated_at)), record.note ?? "");
  }
}

function entryOf({ id, kept_at, patient, view, state }: PhotoEntry, shown: State | "all"): Entry {
  const words = texts();
  const detail = [view && words.views[view], patient].filter(Boolean).join(" · ") || dayOf(new Date(kept_at));
  return { id, title: words.photoNumber(id), detail, state: shown === "all" ? words.states[state] : "", className: state };
}
