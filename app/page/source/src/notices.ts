/** Messages at the top of the page. */

import { byId, make } from "./elements";
import type { Sentence } from "./words";

export interface Notice extends Sentence {
  action?: { text: string; run: () => void };
}

let notices: Notice[] = [];

export function notify(notice: Notice): void {
  if (notices.some((one) => one.text === notice.text)) return;
  notices.push(notice);
  show();
}

export function clearNotices(): void {
  notices = [];
  show();
}

export function lineOf({ text, detail, action }: Notice): HTMLElement {
  const line = make("p", { className: "notice" }, text);
  if (detail) line.append(" ", make("span", { className: "small", lang: "en" }, detail));
  if (action) line.append(" ", make("button", { type: "button", textContent: action.text, onclick: action.run }));
  return line;
}

function show(): void {
  byId("notices").replaceChildren(...notices.map(lineOf));
}
