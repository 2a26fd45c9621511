/** Corrected photos as a zip in the layout that the training reads, as `app/reviews/export.py` writes it. */

import { type Labels, type Tooth, verdictOf } from "./labels";
import { crc32, zipped } from "./zip";

const FOLDS = 5;

/** A reader marks the carious teeth; sound ones may lack a box. */
const DESCRIPTION = 'labels = "carious teeth only"\n';

export interface LabelledPhoto {
  /** A JPEG, upright and without metadata. */
  picture: Blob;
  labels: Labels;
  /** Pseudonym: photos of a patient share a group, and a group a fold. */
  patient: string;
}

export async function trainingZip(photos: LabelledPhoto[]): Promise<Blob> {
  const files: [string, Uint8Array<ArrayBuffer>][] = [];
  const rows = ["image,group,fold"];
  const encode = (text: string) => new TextEncoder().encode(text);
  for (const { picture, labels, patient } of photos) {
    if (verdictOf(labels) === "not_assessable") continue;
    const data = new Uint8Array(await picture.arrayBuffer());
    const stem = `photo-${String(rows.length).padStart(6, "0")}`;
    const annotation = { filename: `${stem}.jpg`, size: data.length, regions: labels.teeth.map(region) };
    files.push([`img_train/${stem}.jpg`, data]);
    files.push([`json_train/${stem}.json`, encode(`${JSON.stringify({ annotation }, null, 1)}\n`)]);
    const group = crc32(patient ? encode(`patient ${patient}`) : data);
    rows.push(`${stem}.jpg,${group.toString(16).padStart(8, "0")},${group % FOLDS}`);
  }
  files.push(["dataset.toml", encode(DESCRIPTION)]);
  files.push(["folds.csv", encode(`${rows.join("\n")}\n`)]);
  return zipped(files);
}

/** In the form of VGG Image Annotator. */
function region({ class: label, box: { xmin, ymin, xmax, ymax } }: Tooth): object {
  const [width, height] = [xmax - xmin, ymax - ymin].map((side) => Math.round(side * 10) / 10);
  return { shape_attributes: { name: "rect", x: xmin, y: ymin, width, height }, region_attributes: { label } };
}
