/** Requests to the server. Lost connections and a busy server are retried; the server's own sentence ends a photo. */

import type { Answer, Curve, ModelEntry, ModelList, Problem } from "./answers";
import { language } from "./texts";

export type Failure =
  | { kind: "problem"; problem: Problem }
  | { kind: "connection" }
  | { kind: "file" };

/** A request that failed for good. */
export class RequestFailed extends Error {
  constructor(readonly failure: Failure) {
    super(failure.kind === "problem" ? failure.problem.title : failure.kind);
  }
}

export interface Waiting {
  reason: "busy" | "connection";
  seconds: number;
}

export interface Call {
  signal: AbortSignal;
  language: string;
  /** Told before each pause between two tries. */
  onWait: (waiting: Waiting) => void;
}

/** A call in the page's language that nothing cancels. */
export function newCall(onWait: Call["onWait"] = () => undefined): Call {
  return { signal: new AbortController().signal, language: language(), onWait };
}

/** Asks for a sign-in, and returns whether the same person may try again. */
type AskToSignIn = () => Promise<boolean>;

let askToSignIn: AskToSignIn = () => Promise.resolve(false);

export function onSignInNeeded(ask: AskToSignIn): void {
  askToSignIn = ask;
}

const MAX_TRIES = 8;
/** Fewer for problems that seldom pass: this very photo may be what crashes the detector, a disk may be full. */
const MAX_TRIES_OF: Record<string, number> = {
  "/problems/worker-died": 2,
  "/problems/review-store-failed": 2,
  "/problems/audit-failed": 2,
  "/problems/bundle-error": 1,
};
const MAX_BACKOFF_S = 20;
const RETRIED_STATUSES = [429, 502, 503, 504];

/** Screens one photo; `query` as in docs/api.md. */
export async function detect(photo: Blob, query: Record<string, string>, call: Call): Promise<Answer> {
  const read = (response: Response) => response.json() as Promise<Answer>;
  return post("detect", photo, { format: "json", evidence: "true", ...query }, call, read);
}

/** The server's picture of a photo. */
export async function picture(photo: Blob, query: Record<string, string>, call: Call): Promise<Blob> {
  return post("detect", photo, query, call, (response) => response.blob());
}

/** The JSON at an address. */
export async function get<T>(address: string, call: Call): Promise<T> {
  return retried(() => fetch(address, options(call)), (response) => response.json() as Promise<T>, call);
}

export async function getBlob(address: string, call: Call): Promise<Blob> {
  return retried(() => fetch(address, options(call)), (response) => response.blob(), call);
}

/** Sends JSON, and returns the JSON of the answer. */
export async function sendJson<T>(method: "POST" | "PUT", address: string, content: object, call: Call): Promise<T> {
  const request = { ...options(call, JSON_BODY), method, body: JSON.stringify(content) };
  return retried(() => fetch(address, request), (response) => response.json() as Promise<T>, call);
}

/** One try, without the wait for a better connection and without a sign-in. */
export async function once(method: string, address: string, call: Call, content?: object): Promise<Response> {
  const request = { ...options(call, content && JSON_BODY), method, ...(content && { body: JSON.stringify(content) }) };
  let response: Response;
  try {
    response = await fetch(address, request);
  } catch {
    throw new RequestFailed({ kind: "connection" });
  }
  if (!response.ok) throw new RequestFailed({ kind: "problem", problem: await problemOf(response) });
  return response;
}

export function modelList(call: Call): Promise<ModelList> {
  return get("models", call);
}

export async function liveModels(call: Call): Promise<ModelEntry[]> {
  const { models } = await modelList(call);
  return models.filter((model) => model.live).sort((a, b) => Number(b.default) - Number(a.default));
}

export async function curveOf(model: ModelEntry, call: Call): Promise<Curve | null> {
  if (!model.curve) return null;
  return (await get<{ curve: Curve | null }>(`.${model.curve}`, call)).curve;
}

/** The title of a problem in the call's language. */
export async function titleOf(problem: Problem, call: Call): Promise<string> {
  const response = await fetch(`.${problem.type}`, options(call));
  const { title } = (await response.json()) as Partial<Problem>;
  return title ?? problem.title;
}

/** Sends a photo. */
export async function post<T>(
  path: string,
  photo: Blob,
  query: Record<string, string>,
  call: Call,
  read: Read<T>,
): Promise<T> {
  const address = `${path}?${new URLSearchParams(query)}`;
  const send = () =>
    fetch(address, { ...options(call, { "Content-Type": "application/octet-stream" }), method: "POST", body: photo });
  return retried(send, read, call, photo);
}

const JSON_BODY = { "Content-Type": "application/json" };

/** The headers of every request. */
function options(call: Call, headers?: Record<string, string>): RequestInit {
  return {
    signal: call.signal,
    credentials: "same-origin",
    headers: { Accept: "application/json, */*;q=0.5", "Accept-Language": call.language, ...headers },
  };
}

type Read<T> = (response: Response) => Promise<T>;

async function retried<T>(send: () => Promise<Response>, read: Read<T>, call: Call, photo?: Blob): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    const backoff = Math.min(MAX_BACKOFF_S, 2 ** (tries - 1)) * (0.75 + Math.random() / 2);
    let response: Response;
    try {
      response = await send();
      if (response.ok) return await read(response); // the connection may also be lost in the middle of an answer
    } catch (error) {
      if (call.signal.aborted) throw error;
      if (photo && !(await isReadable(photo))) throw new RequestFailed({ kind: "file" });
      if (tries >= MAX_TRIES) throw new RequestFailed({ kind: "connection" });
      await pause("connection", backoff, call);
      continue;
    }
    const problem = await problemOf(response);
    if (response.status === 401 && (await askToSignIn())) continue;
    const most = MAX_TRIES_OF[problem.type] ?? MAX_TRIES;
    if (!RETRIED_STATUSES.includes(response.status) || tries >= most) {
      throw new RequestFailed({ kind: "problem", problem });
    }
    const asked = Number(response.headers.get("Retry-After")) || 0;
    await pause("busy", Math.max(asked, backoff), call);
  }
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const problem = (await response.json()) as Partial<Problem>;
    if (problem.title) return { type: "", detail: "", status: response.status, ...problem, title: problem.title };
  } catch {
    // Not the server's own answer but that of a proxy.
  }
  return { type: "", title: `${response.status} ${response.statusText}`.trim(), status: response.status, detail: "" };
}

async function isReadable(photo: Blob): Promise<boolean> {
  try {
    await photo.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** Waits; a connection that comes back ends the wait. */
function pause(reason: Waiting["reason"], seconds: number, call: Call): Promise<void> {
  call.onWait({ reason, seconds });
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => () => {
      clearTimeout(timer);
      removeEventListener("online", resume);
      call.signal.removeEventListener("abort", cancel);
      settle();
    };
    const resume = end(resolve);
    const cancel = end(() => reject(call.signal.reason));
    const timer = setTimeout(resume, seconds * 1000);
    if (reason === "connection") addEventListener("online", resume);
    call.signal.addEventListener("abort", cancel);
  });
}
