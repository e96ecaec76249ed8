// Files of a frame: its picture, and its depth bit for bit, with what is known of it.

/** Depth as 16-bit greyscale PNG: the codes as they came, the header in a text chunk `Depth`. Returns a Blob. */
export async function depthPng(frame) {
  const { width, height, codes } = frame;
  const rows = new DataView(new ArrayBuffer(height * (1 + 2 * width)));
  for (let y = 0, at = 0; y < height; y++) {
    rows.setUint8(at++, 0); // no filter
    for (let x = 0; x < width; x++, at += 2) rows.setUint16(at, codes[y * width + x]);
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 16); // bits; grey, deflate, adaptive filters and no interlacing are 0
  // A text chunk is Latin-1: what JSON has beyond ASCII is escaped.
  const ascii = frame.headerText.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("tEXt", new TextEncoder().encode(`Depth\0${ascii}`)),
    chunk("IDAT", await deflated(new Uint8Array(rows.buffer))),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob(parts, { type: "image/png" });
}

/** The picture as PNG. */
export async function picturePng(frame) {
  const canvas = new OffscreenCanvas(frame.width, frame.height);
  canvas.getContext("2d").drawImage(frame.bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Have the browser keep `blob` as a file. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate")); // zlib's format
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(kind, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
