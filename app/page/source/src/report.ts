/** The report, which only the printer shows: one page a photo. */

import { make } from "./elements";
import type { Mark, Screened } from "./screened";
import { className, percent, texts } from "./texts";
import { reasonsOf, timeOf } from "./words";

const SVG = "http://www.w3.org/2000/svg";

const ROWS = 10; // that fit on a page, A4 or letter, below the picture
const COLUMNS = ["number", "finding", "score", "left", "top", "width", "height"] as const;
const SHORT_COLUMNS = ["number", "finding", "score"] as const;
const SHORT_TABLES = { few: 3, many: 4 }; // next to each other

/** Loaded before printing begins, and kept while the rest of the report changes. */
const images = new Map<string, HTMLImageElement>();

export function fillReport(root: HTMLElement, photos: Screened[], threshold: number): void {
  for (const address of images.keys()) {
    if (!photos.some(({ photo }) => photo.preview === address)) images.delete(address);
  }
  root.replaceChildren(...photos.map((screened) => page(screened, threshold)));
}

function imageAt(address: string): HTMLImageElement {
  const image = images.get(address) ?? make("img", { src: address });
  images.set(address, image);
  return image;
}

function page(screened: Screened, threshold: number): HTMLElement {
  const words = texts();
  const { photo, answer, screening, marks } = screened;
  const facts: [string, string][] = [
    [words.facts.file, photo.name],
    [words.facts.time, timeOf(photo.screenedAt)],
    [words.facts.teeth, String(screening.teethSeen)],
    [words.facts.threshold, percent(threshold)],
    [words.facts.model, `${answer.model.name} ${answer.model.version}`],
    [words.facts.digest, answer.model.sha256],
    [words.facts.photoDigest, answer.image.sha256],
  ];
  return make(
    "article",
    {},
    make("h2", { textContent: words.report }),
    make("p", { className: "not-a-device", textContent: words.notADevice }),
    picture(screened),
    make("h3", { textContent: words.verdicts[screening.verdict] }),
    ...reasonsOf(screened, threshold).map((textContent) => make("p", { textContent })),
    ...(screening.hiddenByMaxBoxes ? [make("p", { textContent: words.hidden(screening.hiddenByMaxBoxes) })] : []),
    ...(marks.length ? [tables(marks)] : []),
    ...(marks.length && marks.length <= ROWS ? [make("p", { className: "small", textContent: words.pixels })] : []),
    make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
  );
}

function picture({ photo, answer, marks }: Screened): HTMLElement {
  const { width, height } = answer.image;
  const figure = make("figure");
  if (!photo.preview) return figure;
  figure.append(Object.assign(imageAt(photo.preview), { alt: photo.name, width, height }));
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const { number, box, isScreened } of marks) {
    const text = Math.max(width, height) / 40;
    const shape = svg("rect", { x: box.xmin, y: box.ymin, width: box.xmax - box.xmin, height: box.ymax - box.ymin });
    const label = svg("text", { x: box.xmin, y: Math.max(box.ymin - text / 4, text), "font-size": text });
    label.textContent = String(number);
    for (const element of [shape, label]) {
      if (isScreened) element.setAttribute("class", "screened");
      drawing.append(element);
    }
  }
  figure.append(drawing);
  return figure;
}

function svg(tag: string, attributes: Record<string, number>): SVGElement {
  const element = document.createElementNS(SVG, tag) as SVGElement;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** One table with the positions, or several short ones where there are more marks than rows. */
function tables(marks: Mark[]): HTMLElement {
  const isShort = marks.length > ROWS;
  const isMany = marks.length > ROWS * SHORT_TABLES.few;
  const rows = isMany ? Math.ceil(marks.length / SHORT_TABLES.many) : ROWS;
  const root = make("div", { className: isMany ? "tables many" : "tables" });
  for (let from = 0; from < marks.length; from += rows) {
    root.append(table(marks.slice(from, from + rows), isShort ? SHORT_COLUMNS : COLUMNS));
  }
  return root;
}

function table(marks: Mark[], names: readonly (typeof COLUMNS)[number][]): HTMLElement {
  const { columns } = texts();
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col", textContent: columns[name] })));
  const rows = marks.map(({ number, className: name, score, box }) => {
    const sides = [box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin].map((side) => side.toFixed(0));
    const cells = [String(number), className(name), percent(score), ...sides].slice(0, names.length);
    return make("tr", {}, ...cells.map((textContent) => make("td", { textContent })));
  });
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}
