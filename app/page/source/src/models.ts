/** The bundles of the store: which are live, how they compared with the one before, and which to put live. */

import type { Comparison, ModelEntry, ModelList } from "./answers";
import { modelList, newCall, RequestFailed, sendJson } from "./client";
import { byId, make } from "./elements";
import { lineOf } from "./notices";
import { row, table } from "./tables";
import { percent, texts } from "./texts";
import { dayOf, sentenceOf, waitOf } from "./words";

const MEAN = "mean";
const DECISIVE = "F1";

let onReload: () => void = () => undefined;

/** Calls this after the live bundles have changed. */
export function onNewModel(call: () => void): void {
  onReload = call;
}

export async function showModels(): Promise<void> {
  const root = byId("models-tables");
  try {
    render(await modelList(newCall((waiting) => root.replaceChildren(waitOf(waiting)))));
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    const action = { text: texts().tryAgain, run: () => void showModels() };
    root.replaceChildren(lineOf({ ...sentenceOf(error.failure), action }));
  }
}

function render({ models, refused }: ModelList): void {
  const compared = [...models.flatMap((model) => model.comparison ?? []), ...refused];
  compared.sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
  byId("models-tables").replaceChildren(bundles(models), ...compared.flatMap(comparison));
}

function bundles(models: ModelEntry[]): HTMLElement {
  const words = texts();
  const { model, state, threshold, change } = words.modelColumns;
  const rows = models.map((one) => {
    const state = one.live ? (one.default ? words.modelStates.live : words.modelStates.also) : null;
    const threshold = one.operating_point ? percent(one.operating_point.score_threshold) : "–";
    const line = row(
      nameOf(one),
      state ?? (one.usable ? words.modelStates.stored : words.modelStates.broken),
      threshold,
      one.live || !one.usable ? "" : button(one),
    );
    line.classList.toggle("live", one.live);
    return line;
  });
  return table(words.modelsInStore, [model, state, threshold, change], rows);
}

function comparison({ old, new: newer, is_better: isBetter, reason, ...measured }: Comparison): HTMLElement[] {
  const words = texts();
  const title = words.compared(nameOf(newer), nameOf(old), dayOf(new Date(measured.created)));
  const photos = { [MEAN]: Object.values(measured.photos).reduce((sum, one) => sum + one, 0), ...measured.photos };
  const rows = Object.entries(photos).flatMap(([source, number]) => {
    const figure = measured.figures[source]?.[DECISIVE];
    if (!figure) return [];
    const by = figure.interval ? ` [${figure.interval.map(signed).join(", ")}]` : "";
    const cells = [String(number), plain(figure.old), plain(figure.new), `${signed(figure.difference)}${by}`];
    return [row(source === MEAN ? words.meanOfSources : source, ...cells)];
  });
  const { source, photos: count, difference } = words.comparedColumns;
  const verdict = make("p", { className: isBetter ? "better" : "" }, isBetter ? words.better : words.notBetter, " ");
  verdict.append(make("span", { className: "small", lang: "en" }, `${reason}.`));
  return [table(title, [source, count, nameOf(old), nameOf(newer), difference], rows), verdict];
}

function nameOf({ name, version }: { name: string; version: number }): string {
  return `${name} ${version}`;
}

function plain(value: number | null): string {
  return value === null ? "–" : value.toFixed(3);
}

function signed(value: number | null): string {
  return value === null ? "–" : `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(3)}`;
}

function button(model: ModelEntry): HTMLElement {
  const words = texts();
  const made = make("button", { type: "button", textContent: words.putLive, onclick: () => void putLive(model) });
  made.setAttribute("aria-label", words.putThisLive(nameOf(model)));
  return made;
}

/** Replaces the live version of this model or, if it has none, the default model. */
async function putLive({ name, version }: ModelEntry): Promise<void> {
  const words = texts();
  const state = byId("models-state");
  const buttons = byId("models-tables").querySelectorAll("button");
  for (const one of buttons) one.disabled = true;
  state.replaceChildren(words.loadingModel(nameOf({ name, version })));
  try {
    const call = newCall((waiting) => state.replaceChildren(waitOf(waiting)));
    await sendJson("POST", "models/reload", { model: name, version }, call);
    await showModels();
    state.replaceChildren(words.isLive(nameOf({ name, version })));
    byId("models").focus(); // the button that was pressed is gone
    onReload();
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    for (const one of buttons) one.disabled = false;
    state.replaceChildren(lineOf(sentenceOf(error.failure)));
  }
}
