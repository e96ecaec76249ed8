// What the 16 bits of depth mean: metres and colours, each a table with an entry for every code.

const NO_ESTIMATE = 0, BEYOND_RANGE = 65535, STEPS = 65533;

/** Metres for each code, Float64Array [65536]: NaN no estimate, Infinity beyond range. `header` is that of a frame. */
export function metresTable(header) {
  const metres = new Float64Array(65536);
  const { near_m: near, far_m: far } = header;
  for (let code = 1; code < BEYOND_RANGE; code++) {
    metres[code] = header.encoding === "mm" ? code / 1000 : near * (far / near) ** ((code - 1) / STEPS);
  }
  metres[NO_ESTIMATE] = NaN;
  metres[BEYOND_RANGE] = Infinity;
  return metres;
}

const STRETCH = { log: Math.log, inverse: (m) => 1 / m, linear: (m) => m };

/** Place of a depth between the ends of the colours: 1 at `min`, near; 0 at `max`, far; not clipped. */
export function nearness(metres, { min, max, scale }) {
  const stretch = STRETCH[scale];
  return (stretch(metres) - stretch(max)) / (stretch(min) - stretch(max));
}

/** The depth that has this place, the inverse of `nearness`. */
export function metresAt(place, { min, max, scale }) {
  const stretch = STRETCH[scale];
  const value = stretch(max) + place * (stretch(min) - stretch(max));
  return scale === "log" ? Math.exp(value) : scale === "inverse" ? 1 / value : value;
}

/** Entry of a colour map for a depth: 0 no estimate, 1 far … 255 near, as the video sink has it. */
export function colorIndex(metres, range) {
  if (Number.isNaN(metres)) return 0;
  const place = metres === Infinity ? 0 : nearness(metres, range);
  return Math.floor(Math.min(255, Math.max(1, place * 254 + 1.5)));
}

/** Colours for each code as they lie in ImageData, Uint32Array [65536]. `map` has 256 × RGB. */
export function colorTable(metres, map, range, factor) {
  const bytes = new Uint8ClampedArray(65536 * 4);
  for (let code = 0; code < 65536; code++) {
    const entry = 3 * colorIndex(metres[code] * factor, range);
    bytes[4 * code] = map[entry];
    bytes[4 * code + 1] = map[entry + 1];
    bytes[4 * code + 2] = map[entry + 2];
    bytes[4 * code + 3] = 255;
  }
  return new Uint32Array(bytes.buffer);
}

/** The colour maps of the video sink, by name: Uint8Array [256 × 3]. */
export async function loadColormaps() {
  const response = await fetch("colormaps.json");
  const maps = await response.json();
  return new Map(Object.entries(maps).map(([name, hex]) => [name, Uint8Array.from(hex.match(/../g), (two) => parseInt(two, 16))]));
}

/** Metres for people: as many digits as mean something. */
export function told(metres) {
  if (Number.isNaN(metres)) return "no estimate";
  if (metres === Infinity) return "beyond range";
  return `${metres.toFixed(metres < 10 ? 3 : metres < 100 ? 2 : 1)} m`;
}
