/** The screening view: what its parts do together. */

import type { Curve, ModelEntry, OperatingPoint } from "./answers";
import { curveOf, liveModels, newCall, picture, RequestFailed, titleOf } from "./client";
import { byId, make } from "./elements";
import { fillViews } from "./editor";
import { asCsv, asJson, type Result, save } from "./exports";
import { figuresAt } from "./figures";
import type { Labels } from "./labels";
import { clearNotices, notify } from "./notices";
import { MAX_PHOTOS, type Photo, Photos } from "./photos";
import { fillReport } from "./report";
import { keepForReview } from "./reviews";
import { type Mark, type Screened, screened } from "./screened";
import { knowReader, mayReview } from "./session";
import { className, language, percent, pointName, texts } from "./texts";
import { Viewer } from "./viewer";
import { reasonsOf, type Sentence, sentenceOf, statusOf } from "./words";

interface Settings {
  /** The operating point chosen by name; null for a threshold of one's own. */
  point: string | null;
  threshold: number;
  maxBoxes: number;
  allClasses: boolean;
}

const MAX_BOXES = 100;
const FALLBACK: OperatingPoint = {
  name: null,
  score_threshold: 0.5,
  max_boxes: 5,
  sensitivity: null,
  false_positives_per_image: null,
};

let models: ModelEntry[] = [];
let model: ModelEntry | null = null;
let curve: Curve | null = null;
let settings: Settings | null = null;
let selected: Photo | null = null;
let lit: number | null = null;
let pastedPhotos = 0;

/** What each part of the page shows: a part that would show the same is left alone, with its focus. */
const shown = new Map<string, string>();

function isNew(part: string, ...state: unknown[]): boolean {
  const now = JSON.stringify([language(), ...state]);
  if (shown.get(part) === now) return false;
  shown.set(part, now);
  return true;
}

export const photos = new Photos(query, language, render);
const viewer = new Viewer(byId("viewer"), {
  hover: light,
  pick: (number) => {
    if (number === null) return;
    light(number);
    byId("marks").querySelector<HTMLElement>(`[data-number="${number}"]`)?.focus();
  },
  turn,
});

/** Everything once, since the page decides by itself what of it is shown. */
function query(): Record<string, string> {
  return model && models.length > 1 ? { model: model.name } : {};
}

// ---- model and settings

export async function loadModel(name: string | null): Promise<void> {
  try {
    models = await liveModels(newCall());
    const before = model?.sha256;
    model = models.find((one) => one.name === name) ?? models[0] ?? null;
    if (model && model.sha256 === before) return;
    curve = model && (await curveOf(model, newCall()));
    const { name: point, score_threshold, max_boxes } = model?.operating_point ?? FALLBACK;
    settings = { point, threshold: score_threshold, maxBoxes: max_boxes, allClasses: settings?.allClasses ?? false };
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    const { text, detail } = sentenceOf(error.failure);
    notify({ text: error.failure.kind === "problem" ? `${texts().serverRefused} ${text}` : text, detail });
  }
  render();
}

/** The settings as an operating point, with the figures that the server's answer would have. */
function appliedPoint({ point, threshold, maxBoxes }: Settings): OperatingPoint {
  const own = (point === null ? model?.operating_point : model?.operating_points[point]) ?? FALLBACK;
  const figures = own.score_threshold === threshold ? own : FALLBACK;
  return { ...figures, name: point, score_threshold: threshold, max_boxes: maxBoxes };
}

function current(): Settings {
  const { score_threshold, max_boxes } = selected?.answer?.operating_point ?? FALLBACK;
  return settings ?? { point: null, threshold: score_threshold, maxBoxes: max_boxes, allClasses: false };
}

function change(changes: Partial<Settings>): void {
  settings = { ...current(), ...changes };
  lit = null;
  render();
}

function screenedNow(photo: Photo): Screened | null {
  const { threshold, maxBoxes, allClasses } = current();
  return screened(photo, { scoreThreshold: threshold, maxBoxes, allClasses }, model?.classes ?? {});
}

function checkModel(): void {
  const answers = photos.all.flatMap((photo) => photo.answer ?? []);
  const other = answers.find((answer) => answer.model.sha256 !== model?.sha256);
  if (!other || !isNew("model", model?.sha256, other.model.sha256)) return;
  void loadModel(model?.name ?? null);
  if (!model) return; // the page was opened before the server was ready
  const screenAgain = () => {
    clearNotices();
    for (const photo of photos.all) if (photo.answer?.model.sha256 !== model?.sha256) photos.again(photo);
  };
  notify({ text: texts().modelChanged, detail: "", action: { text: texts().screenAgain, run: screenAgain } });
}

// ---- photos

function add(files: { name: string; file: Blob }[]): void {
  if (!files.length) return;
  location.hash = "screening";
  clearNotices();
  const before = photos.all.length;
  const leftOut = photos.add(files);
  batch = photos.all.slice(before);
  lastPatient = "";
  if (leftOut) notify({ text: texts().onlyFirst(MAX_PHOTOS, leftOut), detail: "" });
  select(selected ?? photos.all[0] ?? null);
}

function named(files: Iterable<File>): { name: string; file: Blob }[] {
  return [...files].map((file) => ({ name: file.name, file }));
}

function select(photo: Photo | null): void {
  selected = photo;
  lit = null;
  render();
}

function turn(step: 1 | -1): void {
  const next = photos.all[(selected ? photos.all.indexOf(selected) : -1) + step];
  if (next) select(next);
}

function remove(photo: Photo): void {
  const at = photos.all.indexOf(photo);
  photos.remove(photo);
  keepings.delete(photo);
  if (photo === selected) select(photos.all[at] ?? photos.all[at - 1] ?? null);
}

function light(number: number | null): void {
  lit = number;
  viewer.light(number);
  for (const row of byId("marks").querySelectorAll<HTMLElement>("[data-number]")) {
    row.classList.toggle("lit", Number(row.dataset.number) === number);
  }
}

// ---- what is shown

let isRenderDue = false;

/** Shows the state; several changes at once are shown together. */
function render(): void {
  if (isRenderDue) return;
  isRenderDue = true;
  queueMicrotask(() => {
    isRenderDue = false;
    checkModel();
    renderProgress();
    renderStrip();
    renderPhoto();
    renderSettings();
    clearTimeout(reportTimer);
    reportTimer = setTimeout(renderReport, REPORT_DELAY_MS);
  });
}

const REPORT_DELAY_MS = 300;
let reportTimer = 0;

/** The report is always ready, since browsers do not wait for its pictures once printing begins. */
function renderReport(): void {
  const done = photos.all.map(screenedNow).filter((one) => one !== null);
  const { threshold } = current();
  if (isNew("report", threshold, done.map(({ photo, screening }) => [photo.id, photo.preview, screening]))) {
    fillReport(byId("report"), done, threshold);
  }
}

function renderProgress(): void {
  const [done, all] = [photos.finished(), photos.all.length];
  byId("progress").hidden = !all;
  byId<HTMLProgressElement>("bar").max = Math.max(1, all);
  byId<HTMLProgressElement>("bar").value = done;
  const text = texts().progress(done, all);
  if (byId("progress-text").textContent !== text) byId("progress-text").textContent = text;
}

const cards = new Map<Photo, HTMLLIElement>();

function renderStrip(): void {
  byId("strip").hidden = !photos.all.length;
  for (const photo of cards.keys()) {
    if (!photos.all.includes(photo)) {
      cards.get(photo)?.remove();
      cards.delete(photo);
    }
  }
  for (const photo of photos.all) {
    let card = cards.get(photo);
    if (!card) {
      card = newCard(photo);
      cards.set(photo, card);
      byId("photos").append(card);
    }
    renderCard(photo, card);
  }
}

function newCard(photo: Photo): HTMLLIElement {
  const open = make("button", { type: "button", className: "card", onclick: () => select(photo) });
  open.append(make("span", { className: "thumb" }), make("span", { className: "file" }, photo.name));
  open.append(make("span", { className: "state" }));
  const removal = make("button", { type: "button", className: "remove", textContent: "×", onclick: () => remove(photo) });
  return make("li", {}, open, removal);
}

function renderCard(photo: Photo, card: HTMLLIElement): void {
  const [open, removal] = card.querySelectorAll("button");
  const verdict = screenedNow(photo)?.screening.verdict;
  const state = card.querySelector(".state");
  if (state) state.textContent = verdict && photo.status === "done" ? texts().short[verdict] : statusOf(photo);
  card.className = photo.status === "failed" ? "failed" : (verdict ?? "");
  open?.setAttribute("aria-current", String(photo === selected));
  removal?.setAttribute("aria-label", texts().remove(photo.name));
  const thumb = card.querySelector(".thumb");
  if (thumb && photo.preview && !thumb.hasChildNodes()) thumb.append(make("img", { src: photo.preview, alt: "" }));
  if (thumb && !photo.preview) thumb.replaceChildren();
}

function renderPhoto(): void {
  byId("screen").hidden = !selected;
  if (!selected) return viewer.show(null, 1, 1);
  const photo = selected;
  const now = screenedNow(photo);
  const at = photos.all.indexOf(photo);
  byId("name").textContent = photo.name;
  byId("name").setAttribute("aria-label", texts().photoOf(photo.name, at + 1, photos.all.length));
  byId<HTMLButtonElement>("previous").disabled = at <= 0;
  byId<HTMLButtonElement>("next").disabled = at >= photos.all.length - 1;
  const { naturalWidth: width, naturalHeight: height } = photo.image ?? { naturalWidth: 1, naturalHeight: 1 };
  viewer.show(photo.picture, width, height, photo.image);
  viewer.setMarks(now?.marks ?? []);
  const over = byId("over");
  over.textContent = photo.status === "done" ? (photo.picture ? "" : texts().noPicture) : statusOf(photo);
  over.hidden = !over.textContent;
  renderVerdict(photo, now);
  renderMarks(now);
  renderKeep(photo);
  for (const id of ["save-png", "print"]) byId<HTMLButtonElement>(id).disabled = !now;
  byId<HTMLButtonElement>("correct").disabled = !now || !photo.picture;
}

function renderVerdict(photo: Photo, now: Screened | null): void {
  const root = byId("verdict");
  if (!isNew("verdict", photo.id, statusOf(photo), photo.failure, now?.screening, current().threshold)) return;
  const parts: HTMLElement[] = [];
  if (now) {
    parts.push(make("h3", { textContent: texts().verdicts[now.screening.verdict] }));
    parts.push(...reasonsOf(now, current().threshold).map((textContent) => make("p", { textContent })));
  } else if (photo.failure) {
    const { text, detail } = sentenceOf(photo.failure);
    parts.push(make("h3", { textContent: texts().failed }), make("p", { textContent: text }));
    if (detail) parts.push(make("p", { className: "small", lang: "en", textContent: detail }));
    parts.push(make("button", { type: "button", textContent: texts().tryAgain, onclick: () => photos.again(photo) }));
  } else {
    parts.push(make("p", { textContent: statusOf(photo) }));
  }
  root.className = now ? now.screening.verdict : photo.failure ? "failed" : "";
  root.replaceChildren(...parts);
}

function renderMarks(now: Screened | null): void {
  const list = byId("marks");
  const marks = now?.marks ?? [];
  if (!isNew("marks", now?.photo.id, marks, now?.screening.hiddenByMaxBoxes, !now)) return;
  const focused = list.contains(document.activeElement)
    ? (document.activeElement as HTMLElement).dataset.number
    : undefined;
  list.replaceChildren(...marks.map(row));
  if (focused) list.querySelector<HTMLElement>(`[data-number="${focused}"]`)?.focus();
  const hidden = now?.screening.hiddenByMaxBoxes ?? 0;
  byId("hidden").hidden = !hidden;
  byId("hidden-text").textContent = texts().hidden(hidden);
  byId("no-marks").hidden = !now || marks.length > 0;
}

function row({ number, className: name, score, isScreened }: Mark): HTMLLIElement {
  const button = make(
    "button",
    {
      type: "button",
      className: isScreened ? "mark screened" : "mark",
      onfocus: () => {
        light(number);
        viewer.reveal(number);
      },
      onblur: () => light(null),
      onmouseenter: () => light(number),
      onmouseleave: () => light(null),
      onclick: () => light(number),
    },
    make("span", { className: "number" }, String(number)),
    make("span", {}, className(name)),
    make("span", { className: "score" }, percent(score)),
  );
  button.dataset.number = String(number);
  button.setAttribute("aria-label", texts().row(number, className(name), percent(score)));
  button.classList.toggle("lit", number === lit);
  return make("li", {}, button);
}

function renderSettings(): void {
  const { threshold, maxBoxes, allClasses, point } = current();
  const slider = byId<HTMLInputElement>("threshold");
  if (Number(slider.value) !== threshold) slider.value = String(threshold);
  slider.setAttribute("aria-valuetext", percent(threshold));
  byId("threshold-text").textContent = percent(threshold);
  byId<HTMLInputElement>("all-classes").checked = allClasses;
  const limit = byId<HTMLInputElement>("max-boxes");
  if (document.activeElement !== limit) limit.value = String(maxBoxes);
  const figures = curve && figuresAt(curve, threshold);
  byId("figures").hidden = !figures;
  if (figures) {
    const wrong = figures.falsePositivesPerImage.toFixed(1);
    byId("figures").textContent = texts().figures(Math.round(figures.sensitivity * 100), wrong);
  }
  renderPoints(threshold, point);
  byId("model-choice").hidden = models.length < 2;
  const select = byId<HTMLSelectElement>("model");
  if (!isNew("models", models, model)) return;
  select.replaceChildren(...models.map(({ name, version }) => make("option", { value: name }, `${name} ${version}`)));
  select.value = model?.name ?? "";
}

function renderPoints(threshold: number, chosen: string | null): void {
  const root = byId("points");
  if (!isNew("points", model, threshold, chosen)) return;
  const offered = Object.entries(model?.operating_points ?? {}).sort(([, a], [, b]) => a.score_threshold - b.score_threshold);
  const standard = model?.operating_point;
  const choices: [string | null, number][] = offered.map(([name, one]) => [name, one.score_threshold]);
  if (!choices.length && standard) choices.push([null, standard.score_threshold]);
  const isFocused = root.contains(document.activeElement);
  const focused = isFocused ? [...root.children].indexOf(document.activeElement as Element) : -1;
  root.replaceChildren(
    ...choices.map(([name, value]) => {
      const text = name === null ? texts().standard : pointName(name);
      const button = make("button", { type: "button", textContent: `${text} ${percent(value)}` });
      button.setAttribute("aria-pressed", String(name === null ? threshold === value : name === chosen));
      button.onclick = () => change({ point: name, threshold: value });
      return button;
    }),
  );
  (root.children[focused] as HTMLElement | undefined)?.focus();
}

// ---- review

interface Keeping {
  patient: string;
  view: string;
  state: "sending" | "kept" | "failed" | null;
  sentence: Sentence;
  id: number | null;
}

const keepings = new Map<Photo, Keeping>();

/** The photos that were added last, together: most often those of the same patient. */
let batch: Photo[] = [];
let lastPatient = "";

function keepingOf(photo: Photo): Keeping {
  const known = keepings.get(photo);
  if (known) return known;
  const patient = batch.includes(photo) ? lastPatient : "";
  const fresh: Keeping = { patient, view: "", state: null, sentence: { text: "", detail: "" }, id: null };
  keepings.set(photo, fresh);
  return fresh;
}

function renderKeep(photo: Photo): void {
  const isOffered = mayReview() && photo.answer !== null;
  byId("keep").hidden = !isOffered;
  byId("correct").hidden = mayReview();
  if (!isOffered) return;
  const { patient, view, state, sentence, id } = keepingOf(photo);
  if (!isNew("keep", photo.id, state, sentence, id)) return;
  byId<HTMLInputElement>("keep-patient").value = patient;
  byId<HTMLSelectElement>("keep-view").value = view;
  for (const one of ["keep-patient", "keep-view", "keep-photo"]) {
    byId<HTMLInputElement>(one).disabled = state === "sending" || state === "kept";
  }
  const text = state === "kept" && id !== null ? texts().kept(id) : state === "sending" ? texts().keeping : sentence.text;
  byId("keep-state").replaceChildren(text, " ", make("span", { className: "small", lang: "en" }, sentence.detail));
  byId("keep-state").className = state ?? "";
  if (state !== "kept" || id === null) return;
  byId("keep-state").append(make("a", { href: `#review/${id}`, textContent: texts().reviewNow }));
}

async function keep(photo: Photo): Promise<void> {
  const keeping = keepingOf(photo);
  if (!(await knowReader())) return;
  if (batch.includes(photo)) lastPatient = keeping.patient;
  const { patient, view } = keeping;
  const onWait = () => {
    keeping.sentence = { text: texts().keeping, detail: "" };
    render();
  };
  try {
    Object.assign(keeping, { state: "sending", sentence: { text: "", detail: "" } });
    render();
    const sent = { ...(patient && { patient }), ...(view && { view }) };
    const { id } = await keepForReview(photo.file, sent, newCall(onWait));
    Object.assign(keeping, { state: "kept", id });
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    Object.assign(keeping, { state: "failed", sentence: sentenceOf(error.failure) });
  }
  render();
}

/** What is shown of a photo, as labels to correct; null without an answer. */
export function labelsShown(photo: Photo): Labels | null {
  const { threshold } = current();
  const now = screened(photo, { scoreThreshold: threshold, maxBoxes: MAX_BOXES, allClasses: true }, model?.classes ?? {});
  const teeth = now?.marks.map(({ isScreened, box }) => ({ class: isScreened ? "caries" as const : "normal" as const, box }));
  return teeth ? { teeth, empty: null, view: null, note: "" } : null;
}

// ---- files

function results(): Result[] {
  return photos.all.map((photo) => ({ photo, screened: screenedNow(photo) }));
}

async function savePicture(): Promise<void> {
  if (!selected) return;
  const photo = selected;
  const { point, threshold, maxBoxes, allClasses } = current();
  const button = byId<HTMLButtonElement>("save-png");
  button.disabled = true;
  button.textContent = texts().printing;
  try {
    const content = await picture(
      photo.file,
      {
        ...query(),
        format: "png",
        max_boxes: String(maxBoxes),
        classes: allClasses ? "all" : "caries",
        lang: language(),
        ...(point ? { operating_point: point } : { threshold: String(threshold) }),
      },
      newCall(),
    );
    save(content, `${photo.name.replace(/\.[^.]*$/, "")}-caries.png`);
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    notify(sentenceOf(error.failure));
  } finally {
    button.textContent = texts().savePng;
    render();
  }
}

function saveText(text: string, type: string, suffix: string): void {
  const day = new Date().toISOString().slice(0, 10);
  save(new Blob([text], { type }), `caries-${day}.${suffix}`);
}

// ---- events

function on<K extends keyof HTMLElementEventMap>(id: string, kind: K, run: (event: HTMLElementEventMap[K]) => void): void {
  byId(id).addEventListener(kind, run);
}

on("choose", "click", () => byId("files").click());
on("camera", "click", () => byId("shot").click());
for (const id of ["files", "shot"]) {
  const input = byId<HTMLInputElement>(id);
  input.addEventListener("change", () => {
    add(named(input.files ?? []));
    input.value = ""; // so that the same file can be chosen again
  });
}
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  add(named(event.dataTransfer?.files ?? []));
});
document.addEventListener("paste", (event) => {
  if ((event.target as Element).closest?.("input, textarea, dialog") || byId("screening").hidden) return;
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) notify({ text: texts().noPhotoPasted, detail: "" });
  // A screenshot has no name of its own.
  add(files.map((file) => ({ name: file.name === "image.png" ? texts().pasted(++pastedPhotos) : file.name, file })));
  render();
});
on("remove-all", "click", () => [...photos.all].forEach(remove));
on("keep", "submit", (event) => {
  event.preventDefault();
  if (selected) void keep(selected);
});
on("keep-patient", "input", () => {
  if (selected) keepingOf(selected).patient = byId<HTMLInputElement>("keep-patient").value;
});
on("keep-view", "change", () => {
  if (selected) keepingOf(selected).view = byId<HTMLSelectElement>("keep-view").value;
});
on("correct", "click", () => {
  if (selected) location.hash = `review/${selected.id}`;
});
on("previous", "click", () => turn(-1));
on("next", "click", () => turn(1));
on("zoom-in", "click", () => viewer.zoomIn());
on("zoom-out", "click", () => viewer.zoomOut());
on("fit", "click", () => viewer.fit());
on("threshold", "input", () => {
  const value = Number(byId<HTMLInputElement>("threshold").value);
  change({ point: null, threshold: Math.round(value * 1000) / 1000 });
});
on("all-classes", "change", () => change({ allClasses: byId<HTMLInputElement>("all-classes").checked }));
on("max-boxes", "change", () => {
  const value = Math.round(Number(byId<HTMLInputElement>("max-boxes").value));
  change({ maxBoxes: Math.min(MAX_BOXES, Math.max(1, value || 1)) });
});
on("show-hidden", "click", () => change({ maxBoxes: MAX_BOXES }));
on("model", "change", () => {
  void loadModel(byId<HTMLSelectElement>("model").value).then(() => photos.all.forEach((photo) => photos.again(photo)));
});
on("save-png", "click", () => void savePicture());
on("save-json", "click", () => saveText(asJson(results(), appliedPoint(current())), "application/json", "json"));
on("save-csv", "click", () => saveText(asCsv(results(), appliedPoint(current())), "text/csv", "csv"));
on("print", "click", () => print());
addEventListener("beforeprint", renderReport);
/** The server's own sentences, which it wrote in the former language. */
async function translateProblems(): Promise<void> {
  for (const { failure } of photos.all) {
    if (failure?.kind !== "problem" || !failure.problem.type) continue;
    failure.problem.title = await titleOf(failure.problem, newCall()).catch(() => failure.problem.title);
    render();
  }
}

/** Shows the view in the page's language and for the person who uses it. */
export function speakScreening(): void {
  fillViews(byId<HTMLSelectElement>("keep-view"));
  if (isNew("language")) void translateProblems();
  render();
}
