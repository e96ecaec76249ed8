// Small drawings: the legend of metres, histogram, profile, focal length over time.

import { colorIndex, metresAt, nearness } from "./depth_codes.js";

const QUIET = "#8d98a6", LINE = "#2b3440", TEXT = "#e8edf3", ACCENT = "#4ea1ff", RAW = "#6b7a8c", CUT = "#ff6b63";
const ROUND = [-2, -1, 0, 1, 2, 3, 4].flatMap((e) => [1, 2, 5].map((m) => Number((m * 10 ** e).toPrecision(1))));

/** Give a canvas the screen's pixels and return a cleared context in pixels of CSS, with its size. */
export function fit(canvas) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '11px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';
  return { context, width, height };
}

/** Colours in metres, near to the left, with a mark at `metres`. */
export function drawLegend(canvas, map, range, metres) {
  const { context, width } = fit(canvas);
  const top = 6, thick = 14, from = 2, across = width - 4;
  for (let x = 0; x < across; x++) {
    const at = 3 * colorIndex(metresAt(1 - x / across, range), range);
    context.fillStyle = `rgb(${map[at]} ${map[at + 1]} ${map[at + 2]})`;
    context.fillRect(from + x, top, 1.5, thick);
  }
  context.textBaseline = "top";
  const taken = [];
  const between = ROUND.filter((m) => m > range.min && m < range.max);
  for (const m of [range.min, range.max, ...between]) {
    const text = m === range.max ? `${m} m` : `${m}`;
    const wide = context.measureText(text).width;
    const x = from + (1 - nearness(m, range)) * across;
    const left = Math.min(Math.max(x - wide / 2, 0), width - wide);
    if (taken.some(([a, b]) => left < b + 10 && left + wide > a - 10)) continue;
    taken.push([left, left + wide]);
    context.fillStyle = QUIET;
    context.fillText(text, left, top + thick + 5);
    context.fillRect(Math.min(Math.max(x, from), from + across - 1), top + thick, 1, 4);
  }
  if (metres > 0) {
    const place = metres === Infinity ? 0 : Math.min(1, Math.max(0, nearness(metres, range)));
    const x = from + (1 - place) * across;
    context.fillStyle = TEXT;
    context.beginPath();
    context.moveTo(x, top + 2);
    context.lineTo(x - 5, 0);
    context.lineTo(x + 5, 0);
    context.fill();
    context.fillRect(x - 0.75, top, 1.5, thick);
  }
}

/** How much of the picture lies at which depth: bars in the legend's colours, near to the left. */
export function drawHistogram(canvas, frame, metresOf, map, range) {
  const { context, width, height } = fit(canvas);
  const bins = histogram(frame, metresOf, range, 48);
  const most = Math.max(...bins.counts, 1);
  const wide = width / bins.counts.length, floor = height - 16;
  bins.counts.forEach((count, i) => {
    const place = 1 - (i + 0.5) / bins.counts.length;
    const at = 3 * Math.min(255, Math.max(1, Math.floor(place * 254 + 1.5)));
    context.fillStyle = `rgb(${map[at]} ${map[at + 1]} ${map[at + 2]})`;
    const tall = (count / most) * (floor - 4);
    context.fillRect(i * wide, floor - tall, wide - 1, tall);
  });
  context.fillStyle = LINE;
  context.fillRect(0, floor, width, 1);
  context.fillStyle = QUIET;
  context.textBaseline = "bottom";
  context.textAlign = "left";
  const share = (n) => `${Math.round((100 * n) / Math.max(1, bins.total))} %`;
  const texts = [`${share(bins.nearer)} nearer`, `${share(bins.none)} no estimate`, `${share(bins.farther)} farther`];
  texts.forEach((text, i) => {
    context.textAlign = ["left", "center", "right"][i];
    context.fillText(text, (i * width) / 2, height);
  });
  context.textAlign = "left";
}

/** Counts of pixels in bins of equal width on the legend, from near to far, of every third pixel each way. */
export function histogram(frame, metresOf, range, count) {
  const counts = new Array(count).fill(0);
  let [nearer, farther, none, total] = [0, 0, 0, 0];
  for (let y = 1; y < frame.height; y += 3) {
    for (let x = 1; x < frame.width; x += 3) {
      const metres = metresOf(frame.code(x, y));
      total++;
      if (Number.isNaN(metres)) none++;
      else if (metres < range.min) nearer++;
      else if (metres > range.max) farther++;
      else counts[Math.min(count - 1, Math.floor((1 - nearness(metres, range)) * count))]++;
    }
  }
  return { counts, nearer, farther, none, total };
}

/** Depth along a row of the picture: metres upward, as far as they go; gaps where there are none. */
export function drawProfile(canvas, frame, metresOf, row) {
  const { context, width, height } = fit(canvas);
  if (row === null) return;
  const metres = Array.from({ length: frame.width }, (_, x) => metresOf(frame.code(x, row)));
  const known = metres.filter(Number.isFinite);
  if (!known.length) return;
  const low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
  const left = 38, y = (m) => height - 6 - ((m - low) / (high - low || 1)) * (height - 14);
  context.fillStyle = QUIET;
  context.textBaseline = "middle";
  for (const m of [low, (low + high) / 2, high]) {
    context.fillText(m.toFixed(m < 10 ? 2 : 1), 0, y(m));
    context.fillStyle = LINE;
    context.fillRect(left, y(m), width - left, 1);
    context.fillStyle = QUIET;
  }
  context.beginPath();
  metres.forEach((m, x) => {
    if (!Number.isFinite(m)) return;
    const across = left + (x / (frame.width - 1)) * (width - left);
    if (x > 0 && Number.isFinite(metres[x - 1])) context.lineTo(across, y(m));
    else context.moveTo(across, y(m));
  });
  context.lineWidth = 1.5;
  context.strokeStyle = ACCENT;
  context.stroke();
}

/** Focal length of the last frames, `{raw, smoothed, cut}` in pixels: each frame's own as dots, the used one as a line. */
export function drawFocal(canvas, history) {
  const { context, width, height } = fit(canvas);
  const values = history.flatMap(({ raw, smoothed }) => (raw === null ? [smoothed] : [raw, smoothed]));
  if (!values.length) return;
  const middle = history.at(-1).smoothed;
  const low = Math.min(...values, 0.97 * middle), high = Math.max(...values, 1.03 * middle);
  const left = 38, y = (v) => height - 6 - ((v - low) / (high - low)) * (height - 14);
  const x = (i) => width - 3 - ((history.length - 1 - i) / Math.max(99, history.length - 1)) * (width - left - 6);
  context.textBaseline = "middle";
  for (const v of [low, high]) {
    context.fillStyle = QUIET;
    context.fillText(v.toFixed(0), 0, y(v));
    context.fillStyle = LINE;
    context.fillRect(left, y(v), width - left, 1);
  }
  history.forEach(({ raw, cut }, i) => {
    context.fillStyle = cut ? CUT : RAW;
    if (cut) context.fillRect(x(i), 2, 1.5, height - 6);
    if (raw !== null) context.fillRect(x(i) - 1.25, y(raw) - 1.25, 2.5, 2.5);
  });
  context.beginPath();
  history.forEach(({ smoothed }, i) => context.lineTo(x(i), y(smoothed)));
  context.lineWidth = 1.8;
  context.strokeStyle = ACCENT;
  context.stroke();
}
