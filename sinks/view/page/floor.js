// Where the floor is likely to be, and how far the middle of the scene: from a sample of the pixels.

import { metresTable } from "./depth_codes.js";

const EVERY = 8;
let table = { of: "" };

/** Decoded metres of each code of a frame, from a table that is kept. */
export function metresOfCodes({ header }) {
  const of = `${header.encoding} ${header.near_m} ${header.far_m}`;
  if (table.of !== of) table = { of, metres: metresTable(header) };
  return table.metres;
}

/** Metres that the lowest tenth of the lower half of the picture is below the camera, at least; null where nothing is. */
export function floorOf(frame, factor, farthest) {
  const heights = sample(frame, factor, farthest)
    .filter(({ y, v }) => v > frame.height / 2 && y > 0.05)
    .map(({ y }) => y)
    .sort((a, b) => a - b);
  return heights.length < 20 ? null : heights[Math.floor(0.9 * heights.length)];
}

/** Median depth in metres of what is nearer than `farthest`; null where there is nothing. */
export function medianDepth(frame, factor, farthest) {
  const depths = sample(frame, factor, farthest).map(({ z }) => z).sort((a, b) => a - b);
  return depths.length ? depths[depths.length >> 1] : null;
}

function sample(frame, factor, farthest) {
  const metres = metresOfCodes(frame);
  const found = [];
  for (let v = EVERY >> 1; v < frame.height; v += EVERY) {
    for (let u = EVERY >> 1; u < frame.width; u += EVERY) {
      const z = metres[frame.code(u, v)] * factor;
      if (z <= farthest) found.push({ v, z, y: frame.point(u, v, z)[1] });
    }
  }
  return found;
}
