/** Light or dark: as the device has it, or as chosen here. The style sheet does the rest. */

import { store, stored } from "./stored";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export function theme(): Theme {
  return stored("theme", THEMES) ?? "auto";
}

export function setTheme(chosen: Theme): void {
  store("theme", chosen);
  document.documentElement.dataset.theme = chosen;
}
