// Several cameras beside each other: one tile each, which opens it.

import { paintDepth } from "./flat_view.js";

export class CameraGrid {
  constructor(element, choose) {
    this.element = element;
    this.choose = choose;
    this.tiles = new Map();
    this.depth = document.createElement("canvas");
  }

  /** Show tiles for these cameras. */
  show(names) {
    this.tiles = new Map(names.map((name) => [name, this.tile(name)]));
    this.element.replaceChildren(...[...this.tiles.values()].map(({ figure }) => figure));
  }

  tile(name) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    const caption = document.createElement("figcaption");
    const state = document.createElement("span");
    state.className = "state";
    state.textContent = name;
    caption.append(state);
    figure.append(canvas, caption);
    figure.addEventListener("click", () => this.choose(name));
    return { figure, canvas, state };
  }

  /** Tell how a camera fares. */
  state(name, { state, source }, rate) {
    const tile = this.tiles.get(name);
    if (!tile) return;
    const now = state === "ended" ? state : (source?.state ?? state);
    tile.state.dataset.state = now;
    tile.state.textContent = now === "streaming" ? `${name} · ${rate.toFixed(1)} fps` : `${name} · ${now}`;
  }

  draw(frame, colors, blend) {
    const tile = this.tiles.get(frame.header.camera);
    if (!tile) return;
    const { canvas } = tile;
    const { width, height } = frame;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    paintDepth(this.depth, frame, colors);
    const context = canvas.getContext("2d");
    if (frame.bitmap) context.drawImage(frame.bitmap, 0, 0);
    context.globalAlpha = frame.bitmap ? blend : 1;
    context.drawImage(this.depth, 0, 0);
    context.globalAlpha = 1;
  }
}
