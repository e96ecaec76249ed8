// What a click on the picture does: two points and their distance, a row, a cube, a known distance.

import { told } from "./depth_codes.js";
import { distance } from "./frame.js";

const $ = (id) => document.getElementById(id);
const WINDOW = 0.005; // half the side of what a known distance is compared with, as a share of the picture's width

export class Tools {
  /** @param {object} page `metresOf(code)` with the page's factor, `changed()`, and `frame`, `factor`, `camera` */
  constructor(page) {
    this.page = page;
    this.tool = "look";
    this.hover = null;
    this.points = []; // of the distance, as pixels
    this.row = null;
    this.cube = null; // {point, size, pixel}
    this.known = null; // pixel of the known distance
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.choose(button.dataset.tool));
    }
    $("cube-size").addEventListener("input", () => this.resizeCube());
    $("cube-remove").addEventListener("click", () => this.setCube(null));
    $("true-metres").addEventListener("input", () => this.compare());
    $("factor-apply").addEventListener("change", ({ target }) => this.apply(target.checked));
    $("factor-run").addEventListener("click", () => this.calibrateRun());
    $("factor-copy").hidden = !navigator.clipboard; // browsers have none for pages without TLS from other machines
    $("factor-copy").addEventListener("click", () => navigator.clipboard.writeText($("factor-line").textContent));
    this.choose("look");
  }

  choose(tool) {
    this.tool = tool;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-checked", String(button.dataset.tool === tool));
    }
    for (const box of document.querySelectorAll("[data-for]")) box.hidden = box.dataset.for !== tool;
    this.page.changed();
  }

  /** Forget what was measured in pictures of another size or another camera. */
  reset() {
    this.points = [];
    this.row = this.known = this.hover = null;
    this.setCube(null);
    $("calibrate-result").hidden = true;
  }

  click(pixel) {
    const { frame } = this.page;
    if (this.tool === "distance") this.points = this.points.length === 1 ? [...this.points, pixel] : [pixel];
    else if (this.tool === "profile") this.row = pixel[1];
    else if (this.tool === "cube") {
      const z = this.page.metresOf(frame.code(...pixel));
      if (Number.isFinite(z)) this.setCube({ pixel, point: frame.point(...pixel, z), size: Number($("cube-size").value) });
      else $("cube-text").textContent = "There is no depth at that pixel.";
    } else if (this.tool === "calibrate") {
      this.known = pixel;
      this.compare();
    }
    this.page.changed();
  }

  /** What lies over the picture. */
  marks() {
    const { tool, hover, points, known } = this;
    return {
      hover,
      row: tool === "profile" ? (this.row ?? hover?.[1] ?? null) : null,
      points: tool === "distance" ? points : tool === "calibrate" && known ? [known] : [],
      lines: tool === "distance" && points.length === 2 ? [points] : [],
    };
  }

  /** Tell what is under the pointer and between the points, of the frame on the screen. */
  show() {
    const { frame, metresOf } = this.page;
    if (!frame) return;
    const metres = this.hover ? metresOf(frame.code(...this.hover)) : null;
    const box = $("metres");
    box.textContent = metres === null ? "–" : told(metres);
    box.classList.toggle("words", metres !== null && !Number.isFinite(metres));
    box.dataset.metres = metres === null ? "" : String(metres);
    box.dataset.pixel = this.hover?.join(",") ?? "";
    $("where").textContent = this.hover ? `at ${this.hover.join(", ")}` : "Point at the picture.";
    if (this.tool === "distance" && this.points.length === 2) {
      const [a, b] = this.points.map(([x, y]) => frame.point(x, y, metresOf(frame.code(x, y))));
      const d = distance(a, b);
      $("distance").textContent = Number.isFinite(d.metres)
        ? `${told(d.metres)} apart: ${[["across", d.dx], ["down", d.dy], ["ahead", d.dz]].map(([word, m]) => `${m.toFixed(2)} ${word}`).join(", ")}`
        : "One of the points has no depth.";
      $("distance").dataset.metres = String(d.metres);
    } else $("distance").textContent = this.points.length === 1 ? "And the other one." : "Click two points.";
  }

  setCube(cube) {
    this.cube = cube;
    $("cube-remove").hidden = cube === null;
    $("cube-text").textContent = cube
      ? `It stands ${told(cube.point[2])} ahead. What is nearer hides it.`
      : "Click where it shall stand.";
    this.page.changed();
  }

  resizeCube() {
    const size = Number($("cube-size").value);
    if (this.cube && size > 0) this.setCube({ ...this.cube, size });
  }

  /** The factor that a known distance asks for, and the line that tells the run. */
  compare() {
    const { frame } = this.page;
    const truth = Number($("true-metres").value);
    const seen = this.known && frame ? this.around(...this.known) : NaN;
    $("calibrate-text").textContent = !this.known
      ? "Click something flat whose distance you have measured."
      : Number.isFinite(seen)
        ? `Depth there is ${told(seen)}${frame.header.scale ? `, scaled by ${frame.header.scale.factor.toFixed(4)} already: measure in a run without that scale` : ""}.`
        : "There is no depth at that pixel; choose another.";
    const possible = truth > 0 && Number.isFinite(seen);
    $("calibrate-result").hidden = !possible;
    if (!possible) return;
    const factor = truth / seen;
    $("factor").textContent = factor.toFixed(4);
    $("factor").dataset.factor = String(factor);
    $("factor-line").textContent = `--scale-from ${frame.sourcePixel(...this.known).join(",")}=${truth} --scale-file scale.json`;
    if ($("factor-apply").checked) this.page.setFactor(factor);
  }

  /** Have the run measure its scale at the known distance, where it lets viewers. */
  calibrateRun() {
    const { frame } = this.page;
    const [x, y] = frame.sourcePixel(...this.known);
    $("factor-apply").checked = false;
    this.page.setFactor(1);
    this.page.calibrate({ x, y, metres: Number($("true-metres").value) });
  }

  /** Tell what became of it. */
  showCalibration({ calibrates, calibration }) {
    $("run-box").hidden = !calibrates;
    $("run-text").textContent = calibration;
  }

  apply(use) {
    this.page.setFactor(use ? Number($("factor").dataset.factor) : 1);
  }

  /** Median depth around a pixel in metres, as the run has it. */
  around(x, y) {
    const { frame, rawMetresOf } = this.page;
    const reach = Math.max(1, Math.round(WINDOW * frame.width));
    const found = [];
    for (let v = Math.max(0, y - reach); v <= Math.min(frame.height - 1, y + reach); v++) {
      for (let u = Math.max(0, x - reach); u <= Math.min(frame.width - 1, x + reach); u++) {
        const metres = rawMetresOf(frame.code(u, v));
        if (Number.isFinite(metres)) found.push(metres);
      }
    }
    return found.length ? found.sort((a, b) => a - b)[found.length >> 1] : NaN;
  }
}
