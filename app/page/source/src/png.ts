/** PNG files that the server turns upright by their metadata, which browsers ignore. */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const TEXTS = ["tEXt", "zTXt", "iTXt"];
const KEYWORDS = ["Raw profile type", "XML:com.adobe.xmp"];

/** Whether the file is a PNG with EXIF or XMP, which may contain an orientation. */
export async function mayTurn(file: Blob): Promise<boolean> {
  const head = new Uint8Array(await file.slice(0, SIGNATURE.length).arrayBuffer());
  if (SIGNATURE.some((byte, n) => head[n] !== byte)) return false;
  const data = new DataView(await file.arrayBuffer());
  const text = (at: number, length: number) =>
    String.fromCharCode(...new Uint8Array(data.buffer, at, Math.min(length, data.byteLength - at)));
  for (let at = SIGNATURE.length; at + 8 <= data.byteLength; at += 12 + data.getUint32(at)) {
    const type = text(at + 4, 4);
    if (type === "eXIf") return true;
    if (TEXTS.includes(type) && KEYWORDS.some((keyword) => text(at + 8, keyword.length) === keyword)) return true;
  }
  return false;
}
