/** What the files say of themselves: PNG and WebP that the server turns upright by their metadata, which browsers
ignore, and the size of a JPEG. */

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

const HEAD_BYTES = 512 * 1024; // metadata and a thumbnail come before the frame
const NO_FRAMES = [0xc4, 0xc8, 0xcc];

/** Width times height of a JPEG by its frame header (ISO/IEC 10918-1, B.2.2); null if there is none. */
export async function pixelsOfJpeg(file: Blob): Promise<number | null> {
  const view = new DataView(await file.slice(0, HEAD_BYTES).arrayBuffer());
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 <= view.byteLength; at += 2 + view.getUint16(at + 2)) {
    const marker = view.getUint16(at) - 0xff00;
    if (marker < 0xc0) return null;
    if (marker <= 0xcf && !NO_FRAMES.includes(marker)) return view.getUint16(at + 5) * view.getUint16(at + 7);
  }
  return null;
}

function ascii(data: ArrayBuffer, at: number, length: number): string {
  return String.fromCharCode(...new Uint8Array(data, at, Math.max(0, Math.min(length, data.byteLength - at))));
}
