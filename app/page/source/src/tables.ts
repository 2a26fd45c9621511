/** Tables of figures. */

import { make } from "./elements";

/** A table that scrolls sideways by touch and keyboard where it is too wide. */
export function table(caption: string, columns: string[], rows: HTMLElement[]): HTMLElement {
  const headings = columns.map((textContent) => make("th", { scope: "col", textContent }));
  const scroller = make("div", { className: "scroller", tabIndex: 0 });
  scroller.setAttribute("role", "group");
  scroller.setAttribute("aria-label", caption);
  const head = make("thead", {}, make("tr", {}, ...headings));
  scroller.append(make("table", {}, make("caption", {}, caption), head, make("tbody", {}, ...rows)));
  return scroller;
}

/** A row of a heading and cells. */
export function row(name: string, ...cells: (string | Node)[]): HTMLTableRowElement {
  return make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells.map((cell) => make("td", {}, cell)));
}
