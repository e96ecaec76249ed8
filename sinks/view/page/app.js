// The page: what is chosen, which frame is on the screen, and when it is drawn.

import { drawHistogram, drawLegend, drawProfile } from "./charts.js";
import { Connection } from "./connection.js";
import { CubeOverlay } from "./cube.js";
import { colorTable, loadColormaps, told } from "./depth_codes.js";
import { FlatView } from "./flat_view.js";
import { metresOfCodes } from "./floor.js";
import { CameraGrid } from "./grid.js";
import { CameraNumbers, showNumbers } from "./numbers.js";
import { depthPng, download, picturePng } from "./save.js";
import { SpaceView } from "./space_view.js";
import { Tools } from "./tools.js";
import { CameraWay } from "./way.js";

const $ = (id) => document.getElementById(id);
const ALL = "*"; // every camera in a grid
const HIDDEN_MS = 1000; // between frames while nobody sees the page

/** Whether there is what 3-D is drawn by: not on every old machine, nor over every remote desktop. */
function hasWebGL() {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext(); // a page has a few at most
  return context !== null;
}

class Page {
  constructor(maps) {
    this.maps = maps;
    this.frame = null;
    this.cameras = new Map();
    this.camera = null; // name, or ALL
    this.look = { layout: innerWidth < 861 ? "blend" : "side", blend: 0.5, colormap: "turbo", scale: "log", min: 0.5, max: 50 };
    this.space = { shape: "mesh", paint: "picture" };
    this.chosen = false; // colours, by this viewer
    this.factor = 1;
    this.frozen = false;
    this.stepping = false;
    this.scheduled = null;
    this.flat = new FlatView($("flat"));
    this.cubes = null; // each takes a graphics context: made when it is first needed
    this.spaceView = null;
    this.way = new CameraWay();
    this.tools = new Tools(this);
    this.grid = new CameraGrid($("grid"), (name) => this.chooseCamera(name));
    this.bind();
    this.connection = new Connection({
      onHello: (hello) => this.greet(hello),
      onStatus: (status) => this.hearStatus(status),
      onFrame: (frame) => this.receive(frame),
      onState: (state, reason) => this.showState(state, reason),
    });
    this.connection.open();
  }

  get numbers() {
    return this.cameras.get(this.camera);
  }

  rawMetresOf = (code) => metresOfCodes(this.frame)[code];
  metresOf = (code) => metresOfCodes(this.frame)[code] * this.factor;

  greet(hello) {
    if (!this.chosen) Object.assign(this.look, { min: hello.min_m, max: hello.max_m, scale: hello.scale, colormap: hello.colormap });
    this.levels = hello.levels;
    if (hello.session !== this.session) this.way.clear();
    this.session = hello.session;
    for (const name of hello.cameras) if (!this.cameras.has(name)) this.cameras.set(name, new CameraNumbers());
    for (const name of this.cameras.keys()) if (!hello.cameras.includes(name)) this.cameras.delete(name);
    if (!this.cameras.has(this.camera)) this.chooseCamera(this.cameras.size > 1 ? ALL : (hello.cameras[0] ?? null));
    this.showCameras();
    this.showLook();
  }

  showCameras() {
    const names = this.cameras.size > 1 ? [ALL, ...this.cameras.keys()] : [];
    $("cameras").replaceChildren(
      ...names.map((name) => {
        const button = document.createElement("button");
        button.textContent = name === ALL ? "All" : name;
        button.setAttribute("aria-pressed", String(name === this.camera));
        button.addEventListener("click", () => this.chooseCamera(name));
        return button;
      }),
    );
  }

  chooseCamera(name) {
    this.camera = name;
    this.way.clear();
    this.setFrame(null);
    this.tools.reset();
    this.factor = 1;
    $("factor-apply").checked = false;
    const all = name === ALL;
    $("grid").hidden = !all;
    document.body.classList.toggle("all", all);
    if (all) this.showState("open", "");
    this.grid.show(all ? [...this.cameras.keys()] : []);
    // A tile of the grid is small: half the size is enough for it.
    this.connection.watch({ cameras: all || name === null ? null : [name], level: all ? 1 : Number($("level").value) });
    this.showCameras();
    this.showLayout();
    this.changed();
  }

  hearStatus(status) {
    if (!this.cameras.has(status.camera)) {
      this.cameras.set(status.camera, new CameraNumbers());
      this.showCameras();
      if (this.camera === null) this.chooseCamera(status.camera);
    }
    const camera = this.cameras.get(status.camera);
    camera.status = status;
    if (status.camera === this.camera) this.tools.showCalibration(status);
    this.grid.state(status.camera, status, camera.rate);
    if (this.camera === status.camera) this.showState(status.source && status.state !== "ended" ? status.source.state : status.state, status.source?.reason ?? "");
    this.changed();
  }

  /** Take a frame; it is done when the frame is on the screen. */
  async receive(frame) {
    const { camera: name } = frame.header;
    if (document.hidden) return new Promise((done) => setTimeout(done, HIDDEN_MS));
    if (this.frozen && !this.stepping) return undefined;
    await frame.decode();
    const numbers = this.cameras.get(name);
    const wanted = name === this.camera || this.camera === ALL;
    if (!wanted || !numbers || (this.frozen && !this.stepping)) return frame.close();
    if (this.camera === ALL) {
      await new Promise(requestAnimationFrame);
      this.grid.draw(frame, this.colors(frame), this.look.blend);
      numbers.shown(frame, this.connection.clock.since(frame.header.taken_ns));
      return frame.close();
    }
    this.stepping = false;
    this.setFrame(frame);
    await this.changed();
    return numbers.shown(frame, this.connection.clock.since(frame.header.taken_ns));
  }

  setFrame(frame) {
    const { frame: before } = this;
    if (before && frame && (before.width !== frame.width || before.height !== frame.height)) this.tools.reset();
    this.frame = frame;
    if (frame) this.way.add(frame.header);
    before?.close();
    for (const id of ["save-depth", "save-picture"]) $(id).disabled = !frame || (id === "save-picture" && !frame.bitmap);
  }

  /** Colours of each code, from a table that is kept. */
  colors(frame) {
    const { min, max, scale, colormap } = this.look;
    const of = [frame.header.encoding, min, max, scale, colormap, this.factor].join(" ");
    if (this.colorsOf !== of) {
      this.colorsOf = of;
      this.colorsKept = colorTable(metresOfCodes(frame), this.maps.get(colormap), { min, max, scale }, this.factor);
    }
    return this.colorsKept;
  }

  /** Have the page drawn soon; done when it is. */
  changed() {
    this.scheduled ??= new Promise((done) =>
      requestAnimationFrame(() => {
        this.scheduled = null;
        this.draw();
        done();
      }),
    );
    return this.scheduled;
  }

  draw() {
    const { frame, look, tools } = this;
    const map = this.maps.get(look.colormap);
    const hovered = frame && tools.hover ? this.metresOf(frame.code(...tools.hover)) : NaN;
    drawLegend($("legend"), map, look, hovered);
    tools.show();
    if (this.numbers) showNumbers(this.numbers, frame);
    this.showHover(hovered);
    $("stage").dataset.index = frame?.header.index ?? "";
    if (!frame) {
      this.flat.draw(null, {});
      this.cubes?.draw(null, [], null, 1);
      return;
    }
    if (look.layout === "space") {
      this.spaceView ??= new SpaceView($("space"), () => this.changed());
      const way = this.way.seenFromHere();
      const floor = this.spaceView.draw(frame, { ...this.space, range: look, map, factor: this.factor, cube: tools.cube, way });
      $("floor").textContent = floor === null ? "" : `a line each metre, ${floor.toFixed(2)} m below the camera`;
      $("way").textContent = way?.length > 2 ? `${(this.factor * Math.hypot(...way[0])).toFixed(2)} m from where its way began` : "";
    } else {
      this.flat.draw(frame, { ...look, colors: this.colors(frame), marks: tools.marks() });
      if (tools.cube) this.cubes ??= new CubeOverlay($("cube"));
      this.cubes?.draw(frame, this.flat.panels(look.layout), tools.cube, this.factor);
    }
    drawHistogram($("histogram"), frame, this.metresOf, map, look);
    if (tools.tool === "profile") drawProfile($("profile"), frame, this.metresOf, tools.marks().row);
  }

  showHover(metres) {
    const { hover } = this.tools;
    const shown = Boolean(this.frame && hover && this.pointer && this.look.layout !== "space");
    $("hover").hidden = !shown;
    if (!shown) return;
    $("hover").textContent = told(metres);
    const { clientWidth: width } = $("stage");
    const x = Math.min(this.pointer.x + 14, width - $("hover").offsetWidth - 4), y = Math.max(4, this.pointer.y - 34);
    $("hover").style.transform = `translate(${x}px, ${y}px)`;
  }

  showState(state, reason) {
    const waits = { connecting: "connecting", open: "connected", token: "token needed", full: "full" };
    if (state === "open" && this.numbers?.status) state = this.numbers.status.state;
    if (state === "open" && this.camera === ALL) state = "streaming";
    const frozen = this.frozen && (state === "streaming" || state === "open");
    $("state").dataset.state = frozen ? "frozen" : state;
    $("state").textContent = frozen ? "frozen" : (this.camera === ALL && state === "streaming" ? `${this.cameras.size} cameras` : (waits[state] ?? state));
    $("state").title = reason;
    const quiet = ["streaming", "open"].includes(state) || (state === "connecting" && this.frame);
    $("notice").textContent = quiet || frozen ? "" : reason || { starting: "Waiting for the first frame …" }[state] || "";
    if (state === "token" && !$("ask-token").open) $("ask-token").showModal();
    if (state !== "token" && $("ask-token").open) $("ask-token").close();
  }

  calibrate(known) {
    this.connection.send({ type: "calibrate", camera: this.camera, ...known });
  }

  setFactor(factor) {
    this.factor = factor;
    this.changed();
  }

  freeze(frozen = !this.frozen) {
    this.frozen = frozen;
    this.stepping = false;
    this.connection.watch({ paused: frozen });
    $("freeze").setAttribute("aria-pressed", String(frozen));
    $("freeze").textContent = frozen ? "Go on" : "Freeze";
    $("step").disabled = !frozen;
    this.showState(frozen ? "open" : (this.numbers?.status?.state ?? "open"), "");
  }

  step() {
    if (!this.frozen) return;
    this.stepping = true;
    this.connection.step();
  }

  async save(kind) {
    const { frame } = this;
    if (!frame) return;
    const name = `${this.camera}_${String(frame.header.index).padStart(6, "0")}`;
    if (kind === "depth") download(await depthPng(frame), `depth_${name}.png`);
    else download(await picturePng(frame), `picture_${name}.png`);
  }

  showLook() {
    for (const name of ["colormap", "scale", "min", "max"]) $(name).value = this.look[name];
    this.changed();
  }

  showLayout() {
    const { layout } = this.look;
    const space = layout === "space" && this.camera !== ALL, flat = !space && this.camera !== ALL;
    for (const button of document.querySelectorAll("[data-layout]")) {
      button.setAttribute("aria-checked", String(button.dataset.layout === layout));
    }
    $("flat").hidden = $("cube").hidden = !flat;
    $("space").hidden = $("space-tools").hidden = !space;
    $("blend-box").hidden = layout !== "blend" && this.camera !== ALL;
    $("stage").dataset.panels = space ? "space" : layout === "side" ? "2" : "1";
    for (const kind of ["shape", "paint"]) {
      for (const button of document.querySelectorAll(`[data-${kind}]`)) {
        button.setAttribute("aria-pressed", String(button.dataset[kind] === this.space[kind]));
      }
    }
    this.changed();
  }

  bind() {
    if (!hasWebGL()) {
      $("no-webgl").hidden = false;
      for (const button of document.querySelectorAll("[data-layout=space], [data-tool=cube]")) button.disabled = true;
    }
    $("colormap").replaceChildren(...[...this.maps.keys()].map((name) => new Option(name)));
    for (const button of document.querySelectorAll("[data-layout]")) {
      button.addEventListener("click", () => {
        this.look.layout = button.dataset.layout;
        this.showLayout();
      });
    }
    for (const kind of ["shape", "paint"]) {
      for (const button of document.querySelectorAll(`[data-${kind}]`)) {
        button.addEventListener("click", () => {
          this.space[kind] = button.dataset[kind];
          this.showLayout();
        });
      }
    }
    for (const name of ["colormap", "scale", "min", "max"]) $(name).addEventListener("change", () => this.chooseLook());
    $("level").addEventListener("change", ({ target }) => this.connection.watch({ level: Number(target.value) }));
    $("blend").addEventListener("input", ({ target }) => {
      this.look.blend = Number(target.value);
      this.changed();
    });
    $("space-home").addEventListener("click", () => {
      this.spaceView?.goHome();
      this.changed();
    });
    $("freeze").addEventListener("click", () => this.freeze());
    $("step").addEventListener("click", () => this.step());
    $("save-depth").addEventListener("click", () => this.save("depth"));
    $("save-picture").addEventListener("click", () => this.save("picture"));
    $("ask-token").addEventListener("submit", () => this.connection.useToken($("token").value.trim()));
    this.bindPointer();
    new ResizeObserver(() => this.changed()).observe($("stage"));
    addEventListener("keydown", (event) => {
      if (event.target.closest("input, select, button, dialog")) return;
      if (event.key === " ") this.freeze();
      else if (event.key === ".") this.step();
      else return;
      event.preventDefault();
    });
  }

  bindPointer() {
    const flat = $("flat");
    const point = (event) => {
      const box = flat.getBoundingClientRect();
      this.pointer = { x: event.clientX - box.left, y: event.clientY - box.top };
      this.tools.hover = this.flat.pixelAt(this.look.layout, this.pointer.x, this.pointer.y);
      this.changed();
      return this.tools.hover;
    };
    flat.addEventListener("pointermove", point);
    flat.addEventListener("pointerdown", point);
    flat.addEventListener("pointerleave", ({ pointerType }) => {
      if (pointerType !== "mouse") return; // what a finger has touched last stays told
      this.tools.hover = null;
      this.changed();
    });
    flat.addEventListener("click", (event) => {
      const pixel = point(event);
      if (pixel) this.tools.click(pixel);
    });
  }

  chooseLook() {
    const [min, max] = [Number($("min").value), Number($("max").value)];
    this.chosen = true;
    Object.assign(this.look, { colormap: $("colormap").value, scale: $("scale").value });
    if (min > 0 && max > min) Object.assign(this.look, { min, max });
    this.showLook();
  }
}

window.depthProStream = new Page(await loadColormaps()); // also for the browser's console
