/** Zip files without compression, which photos would not gain from (PKWARE APPNOTE 4.3). */

const CRC_TABLE = Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

export function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** A zip file of these files, in all less than 4 GB. */
export function zipped(files: [name: string, data: Uint8Array<ArrayBuffer>][]): Blob {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array<ArrayBuffer>[] = [];
  let at = 0;
  for (const [name, data] of files) {
    const encoded = new TextEncoder().encode(name);
    const utf8 = 0x800;
    const firstDay = 0x21; // 1980-01-01, the earliest
    const size: Field = [4, data.length];
    const times: Field[] = [[2, 0], [2, firstDay]];
    const common: Field[] = [[2, 20], [2, utf8], [2, 0], ...times, [4, crc32(data)], size, size, [2, encoded.length], [2, 0]];
    const header = bytes([[4, 0x04034b50], ...common]);
    parts.push(header, encoded, data);
    directory.push(bytes([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]]), encoded);
    at += header.length + encoded.length + data.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = bytes([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, at], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

type Field = [size: 2 | 4, value: number];

/** The numbers, the lowest byte first. */
function bytes(fields: Field[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(fields.flatMap(([size, value]) => Array.from({ length: size }, (_, n) => (value >>> (8 * n)) & 0xff)));
}
