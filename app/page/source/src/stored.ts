/** What this browser remembers. Where storage is blocked it lasts until the page is closed. */

const unstored = new Map<string, string>();

export function stored<T extends string>(key: string, allowed: readonly T[]): T | null {
  const value = storedText(key);
  return allowed.find((one) => one === value) ?? null;
}

export function storedText(key: string): string | null {
  const newer = unstored.get(key);
  if (newer !== undefined) return newer;
  try {
    return localStorage.getItem(`caries.${key}`);
  } catch {
    return null;
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(`caries.${key}`, value);
    unstored.delete(key);
  } catch {
    unstored.set(key, value); // blocked by the browser's settings, or full
  }
}

/** The keys that begin like this. */
export function storedKeys(start: string): string[] {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(`caries.${start}`));
    return keys.map((key) => key.slice("caries.".length));
  } catch {
    return [];
  }
}

export function forgetStored(key: string): void {
  unstored.delete(key);
  try {
    localStorage.removeItem(`caries.${key}`);
  } catch {
    // Blocked by the browser's settings.
  }
}
