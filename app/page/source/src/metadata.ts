/** PNG and WebP files that the server turns upright by their metadata, which browsers ignore. */

const TEXTS = ["tEXt", "zTXt", "iTXt"];
const KEYWORDS = ["Raw profile type", "XML:com.adobe.xmp"];

/** Whether the file is a PNG or WebP with EXIF or XMP, which may contain an orientation. */
export async function mayTurn(file: Blob): Promise<boolean> {
  const head = ascii(await file.slice(0, 12).arrayBuffer(), 0, 12);
  if (head.startsWith("\x89PNG")) return hasExifInPng(await file.arrayBuffer());
  if (head.startsWith("RIFF") && head.endsWith("WEBP")) return hasExifInWebp(await file.arrayBuffer());
  return false;
}

/** PNG, 3rd edition, 5.3: length, type, data, checksum. */
function hasExifInPng(data: ArrayBuffer): boolean {
  const view = new DataView(data);
  for (let at = 8; at + 8 <= data.byteLength; at += 12 + view.getUint32(at)) {
    const type = ascii(data, at + 4, 4);
    if (type === "eXIf") return true;
    if (TEXTS.includes(type) && KEYWORDS.some((word) => ascii(data, at + 8, word.length) === word)) return true;
  }
  return false;
}

/** RFC 9649, 2.3: type, length, data to an even number of bytes. */
function hasExifInWebp(data: ArrayBuffer): boolean {
  const view = new DataView(data);
  for (let at = 12; at + 8 <= data.byteLength; ) {
    if (["EXIF", "XMP "].includes(ascii(data, at, 4))) return true;
    const length = view.getUint32(at + 4, true);
    at += 8 + length + (length % 2);
  }
  return false;
}

function ascii(data: ArrayBuffer, at: number, length: number): string {
  return String.fromCharCode(...new Uint8Array(data, at, Math.max(0, Math.min(length, data.byteLength - at))));
}
