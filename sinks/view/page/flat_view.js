// Picture and depth on a 2-D canvas: beside each other, blended, or one of them, with the marks of the tools.

import { fit } from "./charts.js";

const GAP = 6; // between two panels, in pixels of CSS
const FAVOUR = 1.3; // so much larger the panels must be below each other to lie there
const PANELS = { side: ["picture", "depth"], blend: ["blend"], picture: ["picture"], depth: ["depth"] };

export class FlatView {
  constructor(canvas) {
    this.canvas = canvas;
    this.frame = null;
    this.painted = {}; // what `depth` holds: a frame in colours
    this.depth = document.createElement("canvas");
  }

  /** Rectangles of the panels in pixels of CSS: `{kind, x, y, width, height}`, the largest that fit. */
  panels(layout) {
    const { frame } = this;
    if (!frame) return [];
    const kinds = PANELS[layout].filter((kind) => frame.bitmap || kind !== "picture");
    if (!frame.bitmap) kinds.fill("depth");
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const count = kinds.length, aspect = frame.width / frame.height;
    const beside = size((width - GAP * (count - 1)) / count, height, aspect);
    const below = size(width, (height - GAP * (count - 1)) / count, aspect);
    const across = beside.width * FAVOUR >= below.width;
    const one = across ? beside : below;
    const x = (width - (across ? count * one.width + GAP * (count - 1) : one.width)) / 2;
    const y = (height - (across ? one.height : count * one.height + GAP * (count - 1))) / 2;
    return kinds.map((kind, i) => ({
      kind,
      x: x + (across ? i * (one.width + GAP) : 0),
      y: y + (across ? 0 : i * (one.height + GAP)),
      ...one,
    }));
  }

  /** The pixel of the frame under a place on the canvas, or null: `[x, y]`. */
  pixelAt(layout, left, top) {
    const panel = this.panels(layout).find(
      (p) => left >= p.x && left < p.x + p.width && top >= p.y && top < p.y + p.height,
    );
    if (!panel) return null;
    const { width, height } = this.frame;
    return [Math.floor(((left - panel.x) / panel.width) * width), Math.floor(((top - panel.y) / panel.height) * height)];
  }

  /**
   * Draw `frame`. `colors` has a colour for each code; `marks` is what lies over every panel: `points` and `lines` of
   * pixels, `row` of the profile, `hover`.
   */
  draw(frame, { layout, blend, colors, marks }) {
    this.frame = frame;
    const { context } = fit(this.canvas);
    if (!frame) return;
    this.paint(frame, colors);
    for (const panel of this.panels(layout)) {
      const place = [panel.x, panel.y, panel.width, panel.height];
      if (panel.kind !== "depth") context.drawImage(frame.bitmap, ...place);
      if (panel.kind !== "picture") {
        context.globalAlpha = panel.kind === "blend" ? blend : 1;
        context.drawImage(this.depth, ...place);
        context.globalAlpha = 1;
      }
      drawMarks(context, panel, frame, marks);
    }
  }

  paint(frame, colors) {
    if (this.painted.frame === frame && this.painted.colors === colors) return;
    this.painted = { frame, colors };
    paintDepth(this.depth, frame, colors);
  }
}

/** Fill a canvas with a frame's depth in colours, pixel for pixel. */
export function paintDepth(canvas, frame, colors) {
  const { width, height, codes } = frame;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colors[codes[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function size(width, height, aspect) {
  const fitting = Math.max(1, Math.min(width, height * aspect));
  return { width: fitting, height: fitting / aspect };
}

function drawMarks(context, panel, frame, marks) {
  const place = ([x, y]) => [
    panel.x + ((x + 0.5) / frame.width) * panel.width,
    panel.y + ((y + 0.5) / frame.height) * panel.height,
  ];
  const stroke = (path, width, style) => {
    context.beginPath();
    path();
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke();
  };
  const outlined = (path, color) => {
    stroke(path, 4, "rgb(0 0 0 / 55%)");
    stroke(path, 1.8, color);
  };
  context.save();
  context.beginPath();
  context.rect(panel.x, panel.y, panel.width, panel.height);
  context.clip();
  if (marks.row !== null) {
    const [, y] = place([0, marks.row]);
    outlined(() => (context.moveTo(panel.x, y), context.lineTo(panel.x + panel.width, y)), "#ffffff");
  }
  for (const [a, b] of marks.lines) {
    outlined(() => (context.moveTo(...place(a)), context.lineTo(...place(b))), "#ffffff");
  }
  for (const point of marks.points) {
    const [x, y] = place(point);
    outlined(() => context.arc(x, y, 5, 0, 7), "#ffffff");
  }
  if (marks.hover) {
    const [x, y] = place(marks.hover);
    outlined(() => {
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 11 * dx, y + 11 * dy);
      }
    }, "#ffffff");
  }
  context.restore();
}
