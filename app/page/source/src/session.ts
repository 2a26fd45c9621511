/** Who uses the page: the name of a key that signed in or, on a server without keys, a reader's name. */

import { get, newCall, once, onSignInNeeded, RequestFailed } from "./client";
import { byId, make } from "./elements";
import { notify } from "./notices";
import { store, storedText } from "./stored";
import { texts } from "./texts";
import { sentenceOf } from "./words";

/** The answer to `GET /session`. */
export interface Session {
  /** Whether the server has keys. */
  required: boolean;
  name: string | null;
  role: "detect" | "review" | "admin" | null;
  expires_at: string | null;
  /** Whether the server keeps photos for review. */
  reviews: boolean;
}

let session: Session = { required: false, name: null, role: null, expires_at: null, reviews: false };
let changed: () => void;

/** Loads the session and, where the server has keys, asks for one; `onChange` follows every change of person. */
export async function openSession(onChange: () => void): Promise<void> {
  changed = onChange;
  onSignInNeeded(askToSignIn);
  session = await get<Session>("session", newCall());
  changed();
  if (session.required && session.name === null) await askToSignIn();
}

export function isSignInMissing(): boolean {
  return session.required && session.name === null;
}

/** Whether photos can be kept and read here. */
export function mayReview(): boolean {
  return session.reviews && !isSignInMissing() && session.role !== "detect";
}

/** Whether this person may put models live. */
export function mayChangeModels(): boolean {
  return !isSignInMissing() && (!session.required || session.role === "admin");
}

/** The person's name; null if it is not known yet. */
export function readerName(): string | null {
  return session.required ? session.name : storedText("reader");
}

/** What names the reader in a request. */
export function readerQuery(): Record<string, string> {
  const name = readerName();
  return session.required || name === null ? {} : { reader: name };
}

/** Asks for the reader's name if it is not known, and returns whether it is now. */
export async function knowReader(): Promise<boolean> {
  return readerName() !== null || (!session.required && (await askForName()));
}

export function renderAccount(): void {
  const name = mayReview() || session.required ? readerName() : null;
  byId("account").hidden = name === null;
  byId("account-name").textContent = name ?? "";
  byId("change-reader").hidden = session.required;
  byId("sign-out").hidden = byId("sign-out-everywhere").hidden = !session.required;
}

async function shown(dialog: HTMLDialogElement): Promise<boolean> {
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue === "done";
}

async function askForName(): Promise<boolean> {
  const dialog = byId<HTMLDialogElement>("reader");
  byId<HTMLInputElement>("reader-name").value = readerName() ?? "";
  const isGiven = dialog.open ? false : await shown(dialog);
  renderAccount();
  return isGiven;
}

let asking: Promise<boolean> | null = null;

/** Requests that fail meanwhile wait for the same sign-in. False if another person signs in, or no one. */
export function askToSignIn(): Promise<boolean> {
  asking ??= signInAgain().finally(() => (asking = null));
  return asking;
}

async function signInAgain(): Promise<boolean> {
  const before = session.name;
  byId("sign-in-why").textContent = before === null ? texts().signInHint : texts().sessionEnded(before);
  byId("sign-in-error").replaceChildren();
  byId<HTMLInputElement>("key").value = "";
  const isDone = await shown(byId<HTMLDialogElement>("sign-in"));
  if (isDone && before !== null && before !== session.name) location.reload(); // not the photos of someone else
  changed();
  return isDone;
}

async function signIn(): Promise<void> {
  const key = byId<HTMLInputElement>("key");
  const error = byId("sign-in-error");
  error.replaceChildren();
  try {
    const response = await once("POST", "session", newCall(), { key: key.value.trim() });
    session = { ...session, ...((await response.json()) as Partial<Session>) };
  } catch (failed) {
    if (!(failed instanceof RequestFailed)) throw failed;
    const { text, detail } = sentenceOf(failed.failure);
    error.append(text, " ", make("span", { className: "small", lang: "en" }, detail));
    key.select();
    return;
  }
  key.value = "";
  byId<HTMLDialogElement>("sign-in").close("done");
}

/** Ends the session, or all of this key. Drafts stay in this browser under the reader's name. */
async function signOut(everywhere: boolean): Promise<void> {
  byId<HTMLDetailsElement>("account").open = false;
  try {
    await once("DELETE", `session${everywhere ? "?everywhere=true" : ""}`, newCall());
    location.reload(); // without the photos
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    notify(sentenceOf(error.failure));
  }
}

byId("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void signIn();
});
byId("reader-form").addEventListener("submit", (event) => {
  event.preventDefault();
  store("reader", byId<HTMLInputElement>("reader-name").value.trim());
  byId<HTMLDialogElement>("reader").close("done");
});
byId("reader-cancel").addEventListener("click", () => byId<HTMLDialogElement>("reader").close(""));
byId("change-reader").addEventListener("click", () => {
  byId<HTMLDetailsElement>("account").open = false;
  void askForName().then((isGiven) => isGiven && changed());
});
byId("sign-out").addEventListener("click", () => void signOut(false));
byId("sign-out-everywhere").addEventListener("click", () => void signOut(true));
