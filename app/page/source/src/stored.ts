/** Choices that this browser remembers. Where storage is blocked they last until the page is closed. */

export function stored<T extends string>(key: string, allowed: readonly T[]): T | null {
  try {
    const value = localStorage.getItem(`caries.${key}`);
    return allowed.find((one) => one === value) ?? null;
  } catch {
    return null;
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(`caries.${key}`, value);
  } catch {
    // Blocked by the browser's settings.
  }
}
