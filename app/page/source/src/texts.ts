/** Every sentence of the page, in English and Korean. */

import type { Verdict } from "./rule";
import { store, stored } from "./stored";

export const LANGUAGES = ["en", "ko"] as const;
export type Language = (typeof LANGUAGES)[number];

interface Texts {
  title: string;
  notADevice: string;
  skip: string;
  language: string;
  theme: string;
  themes: Record<"auto" | "light" | "dark", string>;
  choose: string;
  camera: string;
  dropHere: string;
  formats: string;
  privacy: string;
  onlyFirst: (most: number, left: number) => string;
  noPhotoPasted: string;
  progress: (done: number, all: number) => string;
  photos: string;
  removeAll: string;
  remove: (name: string) => string;
  pasted: (number: number) => string;
  status: Record<"waiting" | "sending" | "drawing", string>;
  busy: (seconds: number) => string;
  reconnecting: (seconds: number) => string;
  connectionLost: string;
  fileGone: string;
  noPicture: string;
  tryAgain: string;
  failed: string;
  previous: string;
  next: string;
  zoomIn: string;
  zoomOut: string;
  fit: string;
  viewer: string;
  photoOf: (name: string, number: number, all: number) => string;
  verdicts: Record<Verdict, string>;
  short: Record<Verdict, string>;
  suspected: (boxes: number, teeth: number, threshold: string) => string;
  cleared: (teeth: number, threshold: string) => string;
  reasons: Record<string, string>;
  clearedIsNotHealthy: string;
  boxes: string;
  noBoxes: string;
  row: (number: number, name: string, score: string) => string;
  hidden: (count: number) => string;
  showHidden: string;
  classes: Record<string, string>;
  settings: string;
  model: string;
  threshold: string;
  thresholdHint: string;
  points: string;
  pointNames: Record<string, string>;
  standard: string;
  figures: (teeth: number, wrong: string) => string;
  allClasses: string;
  maxBoxes: string;
  save: string;
  savePng: string;
  saveJson: string;
  saveCsv: string;
  print: string;
  printing: string;
  report: string;
  columns: Record<"number" | "finding" | "score" | "left" | "top" | "width" | "height", string>;
  facts: Record<"file" | "time" | "model" | "digest" | "photoDigest" | "threshold" | "teeth", string>;
  pixels: string;
  modelChanged: string;
  screenAgain: string;
  serverRefused: string;
}

const en: Texts = {
  title: "Caries screening",
  notADevice:
    "Not a medical device. The marks point to teeth worth a second look; they are not a diagnosis and do not replace an examination.",
  skip: "Skip to the photos",
  language: "Language",
  theme: "Colours",
  themes: { auto: "As the device", light: "Light", dark: "Dark" },
  choose: "Choose photos",
  camera: "Take a photo",
  dropHere: "Drop photos here, or paste them.",
  formats: "JPEG, PNG, WebP, HEIC or DICOM, up to 32 photos at a time.",
  privacy: "Photos go to this server only, which does not keep them. File names stay in this browser.",
  onlyFirst: (most, left) => `At most ${most} photos at a time: ${left} ${left === 1 ? "was" : "were"} left out.`,
  noPhotoPasted: "The clipboard contains no picture.",
  progress: (done, all) => `${done} of ${all} photos done`,
  photos: "Photos",
  removeAll: "Remove all",
  remove: (name) => `Remove ${name}`,
  pasted: (number) => `Pasted photo ${number}`,
  status: { waiting: "Waiting", sending: "Being screened", drawing: "Getting the picture" },
  busy: (seconds) => `The server is busy. Next try in ${seconds} s.`,
  reconnecting: (seconds) => `No connection to the server. Next try in ${seconds} s.`,
  connectionLost: "The server cannot be reached. Check the network, then try again.",
  fileGone: "The file cannot be read any more. Add the photo again.",
  noPicture: "The picture cannot be shown; the boxes are in the list.",
  tryAgain: "Try again",
  failed: "Not screened",
  previous: "Previous photo",
  next: "Next photo",
  zoomIn: "Zoom in",
  zoomOut: "Zoom out",
  fit: "Fit",
  viewer: "Photo with boxes. Plus and minus zoom, arrow keys move, 0 fits, Page Up and Page Down change the photo.",
  photoOf: (name, number, all) => `${name}, photo ${number} of ${all}`,
  verdicts: {
    caries_suspected: "Caries suspected",
    no_caries_found: "No caries found",
    not_assessable: "Not assessable",
  },
  short: { caries_suspected: "Suspected", no_caries_found: "None found", not_assessable: "Not assessable" },
  suspected: (boxes, teeth, threshold) =>
    `${boxes} ${boxes === 1 ? "mark reaches" : "marks reach"} the threshold of ${threshold}. ${teeth} teeth were seen.`,
  cleared: (teeth, threshold) => `None of the ${teeth} teeth seen reaches the threshold of ${threshold}.`,
  reasons: {
    no_teeth_seen: "No teeth are seen. Take the photo closer, with the lips held back.",
    too_few_teeth: "Too few teeth are seen for a verdict.",
    no_tissue_seen: "No gum, lip or skin is seen. Is this a colour photo of a mouth?",
    too_small: "The photo is too small. Send the original instead of a preview.",
    too_dark: "The photo is too dark. Take it again with more light.",
    too_bright: "The photo is too bright. Take it again with less light.",
    blurred: "The photo is blurred. Hold the camera still and focus on the teeth.",
  },
  clearedIsNotHealthy: "This does not mean that the teeth are sound.",
  boxes: "Marks",
  noBoxes: "No mark reaches the threshold.",
  row: (number, name, score) => `${number}, ${name}, ${score}`,
  hidden: (count) => `${count} more ${count === 1 ? "is" : "are"} hidden by the limit of marks.`,
  showHidden: "Show all",
  classes: { caries: "Suspected caries", normal: "Normal tooth" },
  settings: "What is marked",
  model: "Model",
  threshold: "Score threshold",
  thresholdHint: "Lower: more marks, more of them wrong. Higher: fewer marks, more teeth missed.",
  points: "Settings of the model",
  pointNames: { sensitive: "Sensitive", balanced: "Balanced", specific: "Specific" },
  standard: "Standard",
  figures: (teeth, wrong) => `Of 100 carious teeth about ${teeth} are marked, with ${wrong} wrong marks a photo.`,
  allClasses: "Show normal teeth as well",
  maxBoxes: "Marks shown at most",
  save: "Save",
  savePng: "Picture with marks (PNG)",
  saveJson: "All photos (JSON)",
  saveCsv: "All photos (CSV)",
  print: "Print report",
  printing: "Getting the picture",
  report: "Screening report",
  columns: {
    number: "No.",
    finding: "Finding",
    score: "Score",
    left: "Left",
    top: "Top",
    width: "Width",
    height: "Height",
  },
  facts: {
    file: "File",
    time: "Screened",
    model: "Model",
    digest: "SHA-256 of the model",
    photoDigest: "SHA-256 of the photo",
    threshold: "Threshold",
    teeth: "Teeth seen",
  },
  pixels: "Positions are in pixels of the upright photo.",
  modelChanged: "The server has a new model. Photos screened before it show the former model's marks.",
  screenAgain: "Screen all again",
  serverRefused: "The server refused:",
};

const ko: Texts = {
  title: "충치 선별",
  notADevice:
    "의료기기가 아닙니다. 표시는 다시 살펴볼 만한 치아를 알려 줄 뿐이며, 진단이 아니고 진찰을 대신하지 않습니다.",
  skip: "사진으로 건너뛰기",
  language: "언어",
  theme: "화면 색상",
  themes: { auto: "기기 설정", light: "밝게", dark: "어둡게" },
  choose: "사진 선택",
  camera: "사진 촬영",
  dropHere: "사진을 여기에 끌어다 놓거나 붙여넣으세요.",
  formats: "JPEG, PNG, WebP, HEIC, DICOM 사진을 한 번에 32장까지 올릴 수 있습니다.",
  privacy: "사진은 이 서버로만 전송되고 저장되지 않습니다. 파일 이름은 이 브라우저를 벗어나지 않습니다.",
  onlyFirst: (most, left) => `한 번에 ${most}장까지 올릴 수 있어 ${left}장은 제외했습니다.`,
  noPhotoPasted: "클립보드에 사진이 없습니다.",
  progress: (done, all) => `${all}장 중 ${done}장 완료`,
  photos: "사진",
  removeAll: "모두 지우기",
  remove: (name) => `${name} 지우기`,
  pasted: (number) => `붙여넣은 사진 ${number}`,
  status: { waiting: "대기 중", sending: "분석 중", drawing: "사진을 받는 중" },
  busy: (seconds) => `서버가 혼잡합니다. ${seconds}초 후 다시 시도합니다.`,
  reconnecting: (seconds) => `서버와 연결이 끊겼습니다. ${seconds}초 후 다시 시도합니다.`,
  connectionLost: "서버에 연결할 수 없습니다. 네트워크를 확인한 뒤 다시 시도해 주세요.",
  fileGone: "파일을 더 이상 읽을 수 없습니다. 사진을 다시 추가해 주세요.",
  noPicture: "사진을 화면에 표시할 수 없습니다. 표시 위치는 목록에 있습니다.",
  tryAgain: "다시 시도",
  failed: "분석하지 못함",
  previous: "이전 사진",
  next: "다음 사진",
  zoomIn: "확대",
  zoomOut: "축소",
  fit: "맞춤",
  viewer: "표시가 있는 사진. 더하기와 빼기 키로 확대·축소, 화살표 키로 이동, 0으로 화면에 맞춤, Page Up과 Page Down으로 사진을 바꿉니다.",
  photoOf: (name, number, all) => `${name}, 사진 ${all}장 중 ${number}번째`,
  verdicts: {
    caries_suspected: "충치 의심",
    no_caries_found: "충치 소견 없음",
    not_assessable: "판정 불가",
  },
  short: { caries_suspected: "의심", no_caries_found: "소견 없음", not_assessable: "판정 불가" },
  suspected: (boxes, teeth, threshold) => `기준 점수 ${threshold} 이상인 표시가 ${boxes}개 있습니다. 확인된 치아는 ${teeth}개입니다.`,
  cleared: (teeth, threshold) => `확인된 치아 ${teeth}개 중 기준 점수 ${threshold} 이상인 치아가 없습니다.`,
  reasons: {
    no_teeth_seen: "치아가 보이지 않습니다. 입술을 젖히고 더 가까이에서 촬영해 주세요.",
    too_few_teeth: "보이는 치아가 너무 적어 판정할 수 없습니다.",
    no_tissue_seen: "잇몸, 입술, 피부가 보이지 않습니다. 구강 컬러 사진이 맞는지 확인해 주세요.",
    too_small: "사진이 너무 작습니다. 미리보기가 아닌 원본을 올려 주세요.",
    too_dark: "사진이 너무 어둡습니다. 더 밝은 조명에서 다시 촬영해 주세요.",
    too_bright: "사진이 너무 밝습니다. 조명을 줄이고 다시 촬영해 주세요.",
    blurred: "사진이 흐립니다. 카메라를 고정하고 치아에 초점을 맞춰 주세요.",
  },
  clearedIsNotHealthy: "치아가 건강하다는 뜻은 아닙니다.",
  boxes: "표시 목록",
  noBoxes: "기준 점수에 이르는 표시가 없습니다.",
  row: (number, name, score) => `${number}번, ${name}, ${score}`,
  hidden: (count) => `최대 표시 수를 넘은 ${count}개는 숨겨져 있습니다.`,
  showHidden: "모두 보기",
  classes: { caries: "충치 의심", normal: "정상 치아" },
  settings: "표시 기준",
  model: "모델",
  threshold: "기준 점수",
  thresholdHint: "낮추면 표시가 늘지만 잘못된 표시도 늘고, 높이면 표시가 줄지만 놓치는 치아가 늘어납니다.",
  points: "모델의 기준값",
  pointNames: { sensitive: "민감도 우선", balanced: "균형", specific: "특이도 우선" },
  standard: "기본값",
  figures: (teeth, wrong) => `충치 100개 중 약 ${teeth}개가 표시되고, 잘못된 표시는 사진 한 장당 평균 ${wrong}개입니다.`,
  allClasses: "정상 치아도 표시",
  maxBoxes: "최대 표시 수",
  save: "저장",
  savePng: "표시가 있는 사진 (PNG)",
  saveJson: "전체 결과 (JSON)",
  saveCsv: "전체 결과 (CSV)",
  print: "보고서 인쇄",
  printing: "사진을 받는 중",
  report: "선별 검사 보고서",
  columns: {
    number: "번호",
    finding: "소견",
    score: "점수",
    left: "왼쪽",
    top: "위쪽",
    width: "너비",
    height: "높이",
  },
  facts: {
    file: "파일",
    time: "분석 시각",
    model: "모델",
    digest: "모델 SHA-256",
    photoDigest: "사진 SHA-256",
    threshold: "기준 점수",
    teeth: "확인된 치아",
  },
  pixels: "위치는 바로 세운 사진의 픽셀 단위입니다.",
  modelChanged: "서버의 모델이 바뀌었습니다. 그전에 분석한 사진에는 이전 모델의 표시가 보입니다.",
  screenAgain: "모두 다시 분석",
  serverRefused: "서버가 거절했습니다:",
};

const TEXTS = { en, ko };

let current: Language = stored("language", LANGUAGES) ?? (prefersKorean() ? "ko" : "en");

/** Whether the browser lists Korean before English. */
function prefersKorean(): boolean {
  const known = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag === "ko" || tag === "en");
  return known === "ko";
}

export function language(): Language {
  return current;
}

export function setLanguage(chosen: Language): void {
  current = chosen;
  store("language", chosen);
}

export function texts(): Texts {
  return TEXTS[current];
}

/** A score or threshold as people read it, to a tenth of a percent if it is not a full one. */
export function percent(value: number): string {
  const tenths = Math.round(value * 1000) / 10;
  return `${tenths}${current === "ko" ? "%" : " %"}`;
}

export function className(name: string): string {
  return texts().classes[name] ?? name;
}

export function pointName(name: string): string {
  return texts().pointNames[name] ?? name;
}

/** Sets the text, label or placeholder of every element that names its sentence in `data-text` or `data-label`. */
export function translate(root: ParentNode): void {
  const sentence = (key: string | undefined) => String(texts()[key as keyof Texts] ?? "");
  document.documentElement.lang = current;
  document.title = texts().title;
  for (const element of root.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = sentence(element.dataset.text);
  }
  for (const element of root.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", sentence(element.dataset.label));
    if (element instanceof HTMLButtonElement) element.title = sentence(element.dataset.label);
  }
}
