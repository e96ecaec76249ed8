// One frame: the binary message taken apart, and the geometry of its pixels. docs/view.md describes the message.

const MAGIC = 0x31565044; // "DPV1"

export class Frame {
  /** @param {ArrayBuffer} buffer a binary message of the WebSocket. Throws where it is something else. */
  constructor(buffer) {
    const preamble = new DataView(buffer, 0, 16);
    if (preamble.getUint32(0, true) !== MAGIC) throw new Error("no frame of Depth Pro Stream");
    const [header, depth, picture] = [4, 8, 12].map((at) => preamble.getUint32(at, true));
    this.headerText = new TextDecoder().decode(new Uint8Array(buffer, 16, header)).trimEnd();
    this.header = JSON.parse(this.headerText);
    this.codes = new Uint16Array(buffer, 16 + header, depth / 2);
    this.jpeg = picture ? new Uint8Array(buffer, 16 + header + depth, picture) : null;
    this.bytes = buffer.byteLength;
    this.bitmap = null;
    ({ width: this.width, height: this.height } = this.header);
    const K = this.header.K;
    [this.fx, this.cx, this.fy, this.cy] = [K[0], K[2], K[4], K[5]];
  }

  /** Decode the picture, off the page's thread. */
  async decode() {
    if (this.jpeg) this.bitmap = await createImageBitmap(new Blob([this.jpeg], { type: "image/jpeg" }));
    return this;
  }

  /** The 16-bit code of a pixel. */
  code(x, y) {
    return this.codes[y * this.width + x];
  }

  /** Where in space a pixel is, in metres: x right, y down, z forward. `z` is its depth. */
  point(x, y, z) {
    return [((x - this.cx) / this.fx) * z, ((y - this.cy) / this.fy) * z, z];
  }

  /** The pixel of the upright source picture that a pixel of this frame is, in whole numbers. */
  sourcePixel(x, y) {
    const { source_width: width, source_height: height } = this.header;
    return [Math.floor(((x + 0.5) * width) / this.width), Math.floor(((y + 0.5) * height) / this.height)];
  }

  close() {
    this.bitmap?.close();
  }
}

/** Distance of two points, and its parts. */
export function distance(a, b) {
  const [dx, dy, dz] = [0, 1, 2].map((i) => b[i] - a[i]);
  return { metres: Math.hypot(dx, dy, dz), dx, dy, dz };
}
