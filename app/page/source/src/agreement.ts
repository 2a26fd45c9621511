/** How readers and detectors agree, as tables. */

import { newCall, RequestFailed } from "./client";
import { byId, make } from "./elements";
import { save } from "./exports";
import { VIEWS } from "./labels";
import { lineOf } from "./notices";
import { type Agreement, type Figures, measuredAgreement } from "./reviews";
import { row, table } from "./tables";
import { texts } from "./texts";
import { sentenceOf, waitOf } from "./words";

const COLUMNS = ["photos", "teeth", "f1_05", "f1_075", "kappa_tooth", "kappa_photo"] as const;

let measured: Agreement | null = null;

export async function showAgreement(): Promise<void> {
  const root = byId("agreement-tables");
  try {
    measured = await measuredAgreement(newCall((waiting) => root.replaceChildren(waitOf(waiting))));
    render();
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    const action = { text: texts().tryAgain, run: () => void showAgreement() };
    root.replaceChildren(lineOf({ ...sentenceOf(error.failure), action }));
  }
}

function render(): void {
  if (!measured) return;
  const words = texts();
  const { pairs, readers, detectors } = measured;
  const tables = [
    figuresOf(words.agreementOf.pairs, pairs.map((one) => [one.readers.join(" – "), one])),
    figuresOf(words.agreementOf.readers, readers.map((one) => [one.reader, one])),
    figuresOf(words.agreementOf.detectors, detectors.map((one) => [`${one.model} ${one.version}`, one])),
  ];
  const isEmpty = !measured.photos;
  byId("agreement-tables").replaceChildren(...(isEmpty ? [make("p", {}, words.noAgreement)] : tables));
  byId("save-agreement").hidden = isEmpty;
}

type Row = [name: string, figures: Figures & { by_view: Partial<Record<string, Figures>> }];

function figuresOf(caption: string, rows: Row[]): HTMLElement {
  const words = texts();
  const head = [words.agreementColumns.who, words.shownView, ...COLUMNS.map((name) => words.agreementColumns[name])];
  const lines = rows.flatMap(([name, figures]) => [
    line(name, words.allViews, figures),
    ...VIEWS.flatMap((view) => {
      const of = figures.by_view[view];
      return of ? [line(name, words.views[view], of)] : [];
    }),
  ]);
  return table(caption, head, lines);
}

function line(name: string, view: string, figures: Figures): HTMLElement {
  const cells = COLUMNS.map((column) => {
    const value = figures[column];
    return value === null ? "–" : Number.isInteger(value) && column in { photos: 0, teeth: 0 } ? String(value) : value.toFixed(2);
  });
  return row(name, view, ...cells);
}

byId("save-agreement").addEventListener("click", () => {
  save(new Blob([JSON.stringify(measured, null, 2)], { type: "application/json" }), "caries-agreement.json");
});
