/** The page: its views, language, colours, and who uses it. */

import { showAgreement } from "./agreement";
import { RequestFailed } from "./client";
import { dropOldDrafts } from "./drafts";
import { byId, make } from "./elements";
import { onNewModel, showModels } from "./models";
import { clearNotices, notify } from "./notices";
import { ReviewView } from "./review";
import { loadModel, labelsShown, photos, speakScreening } from "./screening";
import { askToSignIn, isSignInMissing, mayChangeModels, mayReview, openSession, renderAccount } from "./session";
import { type Language, language, setLanguage, texts, translate } from "./texts";
import { setTheme, type Theme, theme, THEMES } from "./theme";
import { sentenceOf } from "./words";

const NAMES = ["screening", "review", "agreement", "models"] as const;

const review = new ReviewView({ all: () => photos.all, labels: labelsShown });

/** The view that the address names, and the number of a photo, as in `#review/12`. */
function route(): void {
  const [name, id] = location.hash.slice(1).split("/");
  const named = NAMES.find((one) => one === name);
  if (!named && name) return; // a place within the page
  const isHidden = (named === "agreement" && !mayReview()) || (named === "models" && !mayChangeModels());
  const view = !named || isHidden ? "screening" : named;
  for (const one of NAMES) {
    byId(one).hidden = one !== view;
    byId(`to-${one}`).setAttribute("aria-current", one === view ? "page" : "false");
  }
  if (view === "review") void review.show(Number(id) || null);
  if (view === "agreement") void showAgreement();
  if (view === "models") void showModels();
}

/** Shows what this person may do. */
function showPerson(): void {
  renderAccount();
  byId("to-agreement").hidden = !mayReview();
  byId("to-models").hidden = !mayChangeModels();
  byId("to-review").textContent = mayReview() ? texts().viewReview : texts().viewCorrect;
  byId("privacy").textContent = mayReview() ? texts().privacyWithReviews : texts().privacy;
  speakScreening();
}

function onNewPerson(): void {
  clearNotices();
  showPerson();
  if (isSignInMissing()) {
    const action = { text: texts().signIn, run: () => void askToSignIn() };
    notify({ text: texts().signInNeeded, detail: "", action });
    return;
  }
  void loadModel(null);
  route();
}

/** Puts everything into the chosen language. */
function speak(): void {
  translate(document);
  byId<HTMLSelectElement>("language").value = language();
  byId("theme").replaceChildren(...THEMES.map((one) => make("option", { value: one }, texts().themes[one])));
  byId<HTMLSelectElement>("theme").value = theme();
  clearNotices();
  review.speak();
  if (!byId("agreement").hidden) void showAgreement();
  if (!byId("models").hidden) void showModels();
  showPerson();
}

async function start(): Promise<void> {
  setTheme(theme());
  dropOldDrafts();
  speak();
  try {
    await openSession(onNewPerson);
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    notify({ ...sentenceOf(error.failure), action: { text: texts().tryAgain, run: () => location.reload() } });
  }
}

byId("language").addEventListener("change", () => {
  setLanguage(byId<HTMLSelectElement>("language").value as Language);
  speak();
});
byId("theme").addEventListener("change", () => setTheme(byId<HTMLSelectElement>("theme").value as Theme));
addEventListener("hashchange", route);
onNewModel(() => void loadModel(null));
void start();
