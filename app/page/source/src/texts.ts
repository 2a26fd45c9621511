/** Every sentence of the page, in English and Korean. */

import type { ReaderVerdict, View } from "./labels";
import type { ReviewedPhoto, State } from "./reviews";
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
  views: Record<View, string>;
  unknownView: string;
  allViews: string;
  shownView: string;
  viewsOfPage: string;
  viewScreening: string;
  viewReview: string;
  viewCorrect: string;
  viewAgreement: string;
  privacyWithReviews: string;
  signInTitle: string;
  signInHint: string;
  sessionEnded: (name: string) => string;
  signInNeeded: string;
  key: string;
  signIn: string;
  signOut: string;
  signOutEverywhere: string;
  changeReader: string;
  readerTitle: string;
  readerHint: string;
  readerName: string;
  readerDone: string;
  readerNeeded: string;
  giveName: string;
  cancel: string;
  keepTitle: string;
  keepHint: string;
  patient: string;
  patientHint: string;
  keepPhoto: string;
  keeping: string;
  kept: (id: number) => string;
  reviewNow: string;
  correctMarks: string;
  saveZip: string;
  nothingToCorrect: string;
  corrected: (done: number, all: number) => string;
  correctedState: string;
  openState: string;
  queue: string;
  queueState: string;
  queueOrder: string;
  queueNumber: string;
  openNumber: string;
  queueMore: string;
  queues: Record<State | "all", string>;
  queueEmpty: Record<State | "all", string>;
  states: Record<State, string>;
  orders: Record<"uncertainty" | "disagreement" | "date", string>;
  counts: (photos: Record<State, number>) => string;
  photoNumber: (id: number) => string;
  reviewFacts: (photo: ReviewedPhoto) => string;
  editViewer: string;
  addBox: string;
  undo: string;
  teeth: string;
  noTeeth: string;
  toothNames: Record<"caries" | "normal", string>;
  openClass: string;
  boxTools: string;
  asCaries: string;
  asNormal: string;
  deleteBox: string;
  byButtons: string;
  nudges: Record<
    "moveLeft" | "moveRight" | "moveUp" | "moveDown" | "narrower" | "wider" | "lower" | "higher",
    string
  >;
  photoTools: string;
  restSound: string;
  allSound: string;
  notAssessable: string;
  note: string;
  confirm: string;
  said: (verdict: ReaderVerdict, carious: number) => string;
  undecided: (open: number) => string;
  unsaid: string;
  selectHint: string;
  selectedHint: string;
  addHint: string;
  keysTitle: string;
  keys: [key: string, action: string][];
  draftFound: (time: string) => string;
  draftOutdated: (time: string) => string;
  discardDraft: string;
  draftKept: string;
  conflict: (said: string) => string;
  takeTheirs: string;
  keepMine: string;
  others: string;
  settle: string;
  settleHint: string;
  showTheirs: string;
  readBy: (reader: string, said: string, time: string, note: string) => string;
  reviewModelChanged: string;
  agreementTitle: string;
  agreementHint: string;
  agreementOf: Record<"pairs" | "readers" | "detectors", string>;
  agreementColumns: Record<"who" | "photos" | "teeth" | "f1_05" | "f1_075" | "kappa_tooth" | "kappa_photo", string>;
  noAgreement: string;
  saveAgreement: string;
  viewModels: string;
  modelsTitle: string;
  modelsHint: string;
  modelsInStore: string;
  modelColumns: Record<"model" | "state" | "threshold" | "change", string>;
  modelStates: Record<"live" | "also" | "stored" | "broken", string>;
  putLive: string;
  putThisLive: (model: string) => string;
  loadingModel: (model: string) => string;
  isLive: (model: string) => string;
  compared: (newer: string, old: string, day: string) => string;
  comparedColumns: Record<"source" | "photos" | "difference", string>;
  meanOfSources: string;
  better: string;
  notBetter: string;
}

const en: Texts = {
  title: "Caries screening",
  notADevice:
    "Not a medical device. The marks point to teeth worth a second look; they are not a diagnosis and do not replace an examination.",
  skip: "Skip to the photos",
  language: "Language",
  theme: "Colours",
  themes: { auto: "System", light: "Light", dark: "Dark" },
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
  status: { waiting: "Waiting", sending: "Screening…", drawing: "Loading the picture…" },
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
  printing: "Loading the picture…",
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
  views: { front: "Front", side: "Side", occlusal: "Biting edges", close: "Close-up" },
  unknownView: "Not given",
  allViews: "All",
  shownView: "What the photo shows",
  viewsOfPage: "Parts of the page",
  viewScreening: "Screening",
  viewReview: "Review",
  viewCorrect: "Correct",
  viewAgreement: "Agreement",
  privacyWithReviews:
    "Photos go to this server only, which keeps just those that you keep for review. File names stay in this browser.",
  signInTitle: "Sign in",
  signInHint: "This server needs an API key. Ask the person who runs it.",
  sessionEnded: (name) => `The session of ${name} has ended. Sign in again to continue; nothing that you entered is lost.`,
  signInNeeded: "You are not signed in.",
  key: "API key",
  signIn: "Sign in",
  signOut: "Sign out",
  signOutEverywhere: "Sign out on all devices",
  changeReader: "Change the name",
  readerTitle: "Who reads the photos?",
  readerHint: "Your name or initials are kept with every photo that you review. This browser remembers them.",
  readerName: "Name or initials",
  readerDone: "Continue",
  readerNeeded: "Reviewing needs your name.",
  giveName: "Give a name",
  cancel: "Cancel",
  keepTitle: "Keep for review",
  keepHint: "The server keeps the photo, without metadata and file name, until it is deleted.",
  patient: "Patient's pseudonym (optional)",
  patientHint: "Never a name. Letters, digits and . _ - only.",
  keepPhoto: "Keep for review",
  keeping: "Sending to the server…",
  kept: (id) => `Kept as photo ${id}.`,
  reviewNow: "Review it now",
  correctMarks: "Correct the marks",
  saveZip: "Download the corrections (zip)",
  nothingToCorrect: "Add photos under Screening first.",
  corrected: (done, all) => `${done} of ${all} photos corrected. They are in this browser only: download them before you close the page.`,
  correctedState: "Corrected",
  openState: "Not corrected yet",
  queue: "Photos to review",
  queueState: "Show",
  queueOrder: "Order",
  queueNumber: "Photo number",
  openNumber: "Open",
  queueMore: "More photos",
  queues: { waiting: "To read", disputed: "To settle", done: "Done", all: "All photos" },
  queueEmpty: {
    waiting: "There is nothing left for you to read.",
    disputed: "No photo needs to be settled.",
    done: "No photo is done yet.",
    all: "No photo has been kept for review yet.",
  },
  states: { waiting: "To read", disputed: "Readers differ", done: "Done" },
  orders: { uncertainty: "Most useful first", disagreement: "Models disagree first", date: "Oldest first" },
  counts: ({ waiting, disputed, done }) => `${waiting} to read, ${disputed} to settle, ${done} done.`,
  photoNumber: (id) => `Photo ${id}`,
  reviewFacts: ({ width, height, patient, detections }) =>
    [
      `${width} × ${height} pixels`,
      patient && `patient ${patient}`,
      ...(detections ?? []).map(({ model }) => `boxes of ${model.name} ${model.version}`),
    ]
      .filter(Boolean)
      .join(", "),
  editViewer: "Photo with boxes. N and P select a box, arrow keys move it, with Shift they resize it. All keys are listed below.",
  addBox: "Add a box",
  undo: "Undo",
  teeth: "Teeth",
  noTeeth: "No boxes.",
  toothNames: { caries: "Caries", normal: "Sound tooth" },
  openClass: "Not decided",
  boxTools: "Selected box",
  asCaries: "Caries",
  asNormal: "Sound tooth",
  deleteBox: "Delete",
  byButtons: "Move and resize by buttons",
  nudges: {
    moveLeft: "Move left",
    moveRight: "Move right",
    moveUp: "Move up",
    moveDown: "Move down",
    narrower: "Narrower",
    wider: "Wider",
    lower: "Less tall",
    higher: "Taller",
  },
  photoTools: "Entire photo",
  restSound: "The undecided teeth are sound",
  allSound: "No caries",
  notAssessable: "Not assessable",
  note: "Note, without names (optional)",
  confirm: "Confirm, next photo",
  said: (verdict, carious) =>
    verdict === "carious"
      ? `${carious} ${carious === 1 ? "tooth" : "teeth"} with caries`
      : { sound: "No caries", not_assessable: "Not assessable" }[verdict],
  undecided: (open) => `${open} ${open === 1 ? "tooth is" : "teeth are"} not decided yet: caries or sound?`,
  unsaid: "Mark the teeth with caries, or choose No caries or Not assessable.",
  selectHint: "Click on a box to change it. Drag to move the photo when it is enlarged.",
  selectedHint: "Drag the box to move it, its corners to resize it. Click outside it when you are done.",
  addHint: "Drag over the tooth, or click on it. Enter puts a box in the middle.",
  keysTitle: "Keys",
  keys: [
    ["Enter", "confirm, next photo"],
    ["N, P", "next box, previous box"],
    ["1, 2", "caries, sound tooth"],
    ["← ↑ → ↓", "move the box"],
    ["Shift ← ↑ → ↓", "resize the box"],
    ["Del", "delete the box"],
    ["A", "add a box; A again puts it in the middle"],
    ["Z", "undo"],
    ["S", "no caries"],
    ["X", "not assessable"],
    ["R", "undecided teeth are sound"],
    ["Esc", "select nothing"],
    ["+, −, 0", "zoom in, zoom out, fit"],
    ["Page Up, Page Down", "change the photo"],
  ],
  draftFound: (time) => `Restored your unsent changes from ${time}.`,
  draftOutdated: (time) => `Restored your unsent changes from ${time}. The saved labels have changed since then.`,
  discardDraft: "Discard them",
  draftKept: "Your changes stay in this browser until the server has them.",
  conflict: (said) => `This photo has changed since you opened it. ${said} Your changes are kept; dashed boxes show the saved version.`,
  takeTheirs: "Use the saved version",
  keepMine: "Save mine instead",
  others: "Other readers",
  settle: "The readers differ",
  settleHint: "Teeth on which they differ are not decided. Choose for each; dashed boxes show what each reader marked as caries.",
  showTheirs: "Show their boxes",
  readBy: (reader, said, time, note) => `${reader}: ${said} (${time})${note ? `, “${note}”` : ""}.`,
  reviewModelChanged: "The server has a new model. Earlier photos still start from the former model's boxes.",
  agreementTitle: "How readers agree",
  agreementHint:
    "Counted are photos that two people read without seeing each other. F1 says how many of the boxes with caries are the same, from 0 to 1, at two degrees of overlap. Kappa is agreement beyond chance: 1 is full, 0 is no better than chance.",
  agreementOf: {
    pairs: "Two readers",
    readers: "Readers against the consensus",
    detectors: "Detectors against the consensus",
  },
  agreementColumns: {
    who: "Who",
    photos: "Photos",
    teeth: "Teeth",
    f1_05: "F1 (IoU 0.5)",
    f1_075: "F1 (IoU 0.75)",
    kappa_tooth: "Kappa by tooth",
    kappa_photo: "Kappa by photo",
  },
  noAgreement: "No photo has been read blindly by two people yet. The operator switches blind reading on.",
  saveAgreement: "Save (JSON)",
  viewModels: "Models",
  modelsTitle: "Models",
  modelsHint:
    "The live model screens the photos of everyone. A model that you put live stays live until another one is; the model before it can be put back in the same way. Compared are models on photos that neither had seen.",
  modelsInStore: "Models in the store",
  modelColumns: { model: "Model", state: "State", threshold: "Score threshold", change: "Change" },
  modelStates: { live: "Live", also: "Live, as a second model", stored: "In the store", broken: "Cannot be read" },
  putLive: "Put live",
  putThisLive: (model) => `Put ${model} live`,
  loadingModel: (model) => `Loading ${model}…`,
  isLive: (model) => `${model} is live now.`,
  compared: (newer, old, day) => `${newer} against ${old}, ${day}: F1`,
  comparedColumns: { source: "Source", photos: "Photos", difference: "Difference, 95 % interval" },
  meanOfSources: "Mean of the sources",
  better: "Better.",
  notBetter: "Not better.",
};

const ko: Texts = {
  title: "충치 선별",
  notADevice:
    "의료기기가 아닙니다. 표시는 다시 살펴볼 만한 치아를 알려 줄 뿐이며, 진단이 아니고 진찰을 대신하지 않습니다.",
  skip: "사진으로 건너뛰기",
  language: "언어",
  theme: "화면 색상",
  themes: { auto: "시스템 설정", light: "밝게", dark: "어둡게" },
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
  status: { waiting: "대기 중", sending: "분석 중…", drawing: "사진 불러오는 중…" },
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
  printing: "사진 불러오는 중…",
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
  views: { front: "정면", side: "측면", occlusal: "교합면", close: "근접" },
  unknownView: "지정 안 함",
  allViews: "전체",
  shownView: "사진 방향",
  viewsOfPage: "화면",
  viewScreening: "선별",
  viewReview: "판독",
  viewCorrect: "수정",
  viewAgreement: "일치도",
  privacyWithReviews:
    "사진은 이 서버로만 전송되며, 판독용으로 보관한 사진만 저장됩니다. 파일 이름은 이 브라우저를 벗어나지 않습니다.",
  signInTitle: "로그인",
  signInHint: "이 서버를 사용하려면 API 키가 필요합니다. 서버 관리자에게 문의해 주세요.",
  sessionEnded: (name) => `${name} 님의 로그인이 만료되었습니다. 다시 로그인하면 이어서 작업할 수 있으며, 입력한 내용은 그대로 있습니다.`,
  signInNeeded: "로그인하지 않았습니다.",
  key: "API 키",
  signIn: "로그인",
  signOut: "로그아웃",
  signOutEverywhere: "모든 기기에서 로그아웃",
  changeReader: "이름 바꾸기",
  readerTitle: "누가 판독하나요?",
  readerHint: "판독한 사진마다 이름이나 이니셜이 함께 저장됩니다. 이 브라우저가 기억합니다.",
  readerName: "이름 또는 이니셜",
  readerDone: "계속",
  readerNeeded: "판독하려면 이름이 필요합니다.",
  giveName: "이름 입력",
  cancel: "취소",
  keepTitle: "판독용으로 보관",
  keepHint: "사진은 메타데이터와 파일 이름 없이 서버에 보관되며, 삭제할 때까지 남습니다.",
  patient: "환자 가명 (선택)",
  patientHint: "실명은 쓰지 마세요. 영문자, 숫자, . _ - 만 쓸 수 있습니다.",
  keepPhoto: "판독용으로 보관",
  keeping: "서버로 보내는 중…",
  kept: (id) => `사진 ${id}번으로 보관했습니다.`,
  reviewNow: "지금 판독하기",
  correctMarks: "표시 수정하기",
  saveZip: "수정 내용 내려받기 (zip)",
  nothingToCorrect: "먼저 선별 화면에서 사진을 추가해 주세요.",
  corrected: (done, all) => `사진 ${all}장 중 ${done}장을 수정했습니다. 이 브라우저에만 있으므로 페이지를 닫기 전에 내려받아 주세요.`,
  correctedState: "수정함",
  openState: "수정 전",
  queue: "판독할 사진",
  queueState: "보기",
  queueOrder: "순서",
  queueNumber: "사진 번호",
  openNumber: "열기",
  queueMore: "사진 더 보기",
  queues: { waiting: "판독할 사진", disputed: "합의할 사진", done: "완료", all: "모든 사진" },
  queueEmpty: {
    waiting: "더 판독할 사진이 없습니다.",
    disputed: "합의할 사진이 없습니다.",
    done: "완료된 사진이 아직 없습니다.",
    all: "판독용으로 보관한 사진이 아직 없습니다.",
  },
  states: { waiting: "판독 대기", disputed: "판독 불일치", done: "완료" },
  orders: { uncertainty: "학습에 도움이 큰 순", disagreement: "모델 의견이 다른 순", date: "오래된 순" },
  counts: ({ waiting, disputed, done }) => `판독 대기 ${waiting}장, 합의 대기 ${disputed}장, 완료 ${done}장.`,
  photoNumber: (id) => `사진 ${id}`,
  reviewFacts: ({ width, height, patient, detections }) =>
    [
      `${width} × ${height} 픽셀`,
      patient && `환자 ${patient}`,
      ...(detections ?? []).map(({ model }) => `상자: ${model.name} ${model.version}`),
    ]
      .filter(Boolean)
      .join(", "),
  editViewer: "상자가 있는 사진. N과 P로 상자를 선택하고, 화살표 키로 옮기고, Shift와 화살표 키로 크기를 바꿉니다. 모든 키는 아래에 있습니다.",
  addBox: "상자 추가",
  undo: "되돌리기",
  teeth: "치아",
  noTeeth: "상자가 없습니다.",
  toothNames: { caries: "충치", normal: "건강한 치아" },
  openClass: "미정",
  boxTools: "선택한 상자",
  asCaries: "충치",
  asNormal: "건강한 치아",
  deleteBox: "삭제",
  byButtons: "버튼으로 옮기고 크기 바꾸기",
  nudges: {
    moveLeft: "왼쪽으로",
    moveRight: "오른쪽으로",
    moveUp: "위로",
    moveDown: "아래로",
    narrower: "좁게",
    wider: "넓게",
    lower: "낮게",
    higher: "높게",
  },
  photoTools: "사진 전체",
  restSound: "미정인 치아는 건강함",
  allSound: "충치 없음",
  notAssessable: "판정 불가",
  note: "메모, 이름 제외 (선택)",
  confirm: "확인하고 다음 사진",
  said: (verdict, carious) =>
    verdict === "carious" ? `충치 ${carious}개` : { sound: "충치 없음", not_assessable: "판정 불가" }[verdict],
  undecided: (open) => `치아 ${open}개가 아직 미정입니다. 충치인가요, 건강한가요?`,
  unsaid: "충치가 있는 치아를 표시하거나 ‘충치 없음’ 또는 ‘판정 불가’를 선택해 주세요.",
  selectHint: "상자를 누르면 수정할 수 있습니다. 확대했을 때는 끌어서 사진을 옮깁니다.",
  selectedHint: "상자를 끌면 옮겨지고, 모서리를 끌면 크기가 바뀝니다. 끝나면 상자 밖을 누르세요.",
  addHint: "치아 위를 끌거나 누르세요. Enter를 누르면 가운데에 상자가 생깁니다.",
  keysTitle: "단축키",
  keys: [
    ["Enter", "확인하고 다음 사진"],
    ["N, P", "다음 상자, 이전 상자"],
    ["1, 2", "충치, 건강한 치아"],
    ["← ↑ → ↓", "상자 옮기기"],
    ["Shift ← ↑ → ↓", "상자 크기 바꾸기"],
    ["Del", "상자 삭제"],
    ["A", "상자 추가, 한 번 더 누르면 가운데에 추가"],
    ["Z", "되돌리기"],
    ["S", "충치 없음"],
    ["X", "판정 불가"],
    ["R", "미정인 치아는 건강함"],
    ["Esc", "선택 해제"],
    ["+, −, 0", "확대, 축소, 맞춤"],
    ["Page Up, Page Down", "사진 바꾸기"],
  ],
  draftFound: (time) => `${time}에 수정한 뒤 보내지 못한 내용을 복원했습니다.`,
  draftOutdated: (time) => `${time}에 수정한 뒤 보내지 못한 내용을 복원했습니다. 그 뒤에 저장된 판독이 바뀌었습니다.`,
  discardDraft: "버리기",
  draftKept: "수정한 내용은 서버에 저장될 때까지 이 브라우저에 남아 있습니다.",
  conflict: (said) => `사진을 연 뒤에 저장된 판독이 바뀌었습니다. ${said} 내 수정 내용은 그대로 있으며, 점선 상자가 저장된 내용입니다.`,
  takeTheirs: "저장된 내용 사용",
  keepMine: "내 내용으로 저장",
  others: "다른 판독자",
  settle: "판독이 서로 다릅니다",
  settleHint: "의견이 다른 치아는 미정입니다. 하나씩 정해 주세요. 점선 상자는 각 판독자가 충치로 표시한 곳입니다.",
  showTheirs: "다른 판독자의 상자 보기",
  readBy: (reader, said, time, note) => `${reader}: ${said} (${time})${note ? `, “${note}”` : ""}.`,
  reviewModelChanged: "서버의 모델이 바뀌었습니다. 그전의 사진은 이전 모델의 상자로 시작합니다.",
  agreementTitle: "판독자 간 일치도",
  agreementHint:
    "두 사람이 서로의 판독을 보지 않고 읽은 사진만 셉니다. F1은 충치 상자가 얼마나 같은지를 두 가지 겹침 기준에서 0~1로 나타냅니다. 카파는 우연을 뺀 일치도로, 1이면 완전히 일치하고 0이면 우연과 같습니다.",
  agreementOf: { pairs: "판독자 두 명", readers: "판독자와 합의 결과", detectors: "검출기와 합의 결과" },
  agreementColumns: {
    who: "대상",
    photos: "사진",
    teeth: "치아",
    f1_05: "F1 (IoU 0.5)",
    f1_075: "F1 (IoU 0.75)",
    kappa_tooth: "치아별 카파",
    kappa_photo: "사진별 카파",
  },
  noAgreement: "두 사람이 블라인드로 판독한 사진이 아직 없습니다. 블라인드 판독은 서버 관리자가 켭니다.",
  saveAgreement: "저장 (JSON)",
  viewModels: "모델",
  modelsTitle: "모델",
  modelsHint:
    "적용 중인 모델이 모든 사용자의 사진을 분석합니다. 다른 모델을 적용할 때까지 유지되며, 이전 모델도 같은 방법으로 되돌릴 수 있습니다. 비교에는 두 모델 모두 본 적 없는 사진만 쓰입니다.",
  modelsInStore: "저장소의 모델",
  modelColumns: { model: "모델", state: "상태", threshold: "기준 점수", change: "변경" },
  modelStates: { live: "적용 중", also: "두 번째 모델로 적용 중", stored: "저장됨", broken: "읽을 수 없음" },
  putLive: "적용",
  putThisLive: (model) => `${model} 적용`,
  loadingModel: (model) => `${model} 불러오는 중…`,
  isLive: (model) => `이제 ${model} 모델이 적용됩니다.`,
  compared: (newer, old, day) => `${newer}, ${old} 비교 (${day}): F1`,
  comparedColumns: { source: "출처", photos: "사진", difference: "차이, 95% 구간" },
  meanOfSources: "출처 평균",
  better: "더 좋습니다.",
  notBetter: "더 좋지 않습니다.",
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
  const sentence = (key: string | undefined): string => {
    const found = texts()[key as keyof Texts];
    if (typeof found !== "string") throw new Error(`no sentence ${key}`);
    return found;
  };
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
