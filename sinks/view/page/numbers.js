// What is told beside the picture: rates, age, drops, focal length, the camera's state.

import { drawFocal } from "./charts.js";

const HISTORY = 300, RECENT = 120;

/** What is known of one camera on this page. */
export class CameraNumbers {
  constructor() {
    this.status = null;
    this.focal = [];
    this.shownAt = [];
    this.ages = [];
    this.bytes = 0;
    this.cuts = 0;
  }

  /** Count a frame that is on the screen, `age` milliseconds after it was taken. */
  shown(frame, age) {
    const { focal, scene_cut: cut } = frame.header;
    keep(this.focal, { raw: focal.raw_px, smoothed: focal.smoothed_px, cut }, HISTORY);
    keep(this.shownAt, performance.now(), RECENT);
    if (Number.isFinite(age)) keep(this.ages, age, RECENT);
    this.bytes = frame.bytes;
    this.cuts += cut;
  }

  get rate() {
    const recent = this.shownAt.filter((at) => performance.now() - at < 5000);
    return recent.length < 2 ? 0 : (1000 * (recent.length - 1)) / (recent.at(-1) - recent[0]);
  }

  age(share) {
    const sorted = [...this.ages].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
  }
}

/** Write the numbers of `camera` and the frame on the screen. */
export function showNumbers(camera, frame) {
  const put = (id, text) => {
    const element = document.getElementById(id);
    if (element.textContent !== text) element.textContent = text;
  };
  const { status, rate } = camera;
  put("fps", rate.toFixed(1));
  put("age", milliseconds(camera.age(0.5)));
  put("ages", camera.ages.length ? `${milliseconds(camera.age(0.5))} · ${milliseconds(camera.age(0.99))} ms` : "–");
  if (status) {
    put("camera-state", cameraState(status));
    put("rates", `${status.fps.toFixed(1)} · ${rate.toFixed(1)}`);
    put("dropped-before", `${status.dropped}`);
    put("dropped-queue", `${status.lost_in_queue}`);
    put("dropped-here", `${status.viewer?.dropped ?? 0}`);
    put("cuts", `${status.scene_cuts}`);
  }
  if (!frame) return;
  const { header } = frame;
  const { focal } = header;
  const fov = (2 * Math.atan(header.source_width / (2 * focal.smoothed_px)) * 180) / Math.PI;
  put("focal-smoothed", `${focal.smoothed_px.toFixed(0)} px, ${fov.toFixed(1)}°, ${focal.source}`);
  put("focal-raw", focal.raw_px === null ? "–" : `${focal.raw_px.toFixed(1)} px`);
  const smaller = header.level ? `, 1/${2 ** header.level} of it, which is what this page can take` : "";
  put("size", `${frame.width} × ${frame.height}, ${(frame.bytes / 1024).toFixed(0)} KiB${smaller}`);
  put("codes", header.encoding === "mm" ? "millimetres" : `0.1 m to 10 km, ±0.009 %`);
  put("model", `${header.model}, ${header.precision}`);
  put("frame", `${frame.width} × ${frame.height}, frame ${header.index}`);
  drawFocal(document.getElementById("focal"), camera.focal);
}

function cameraState({ state, source, name }) {
  if (!source) return `${name}, ${state}`;
  const tries = source.attempt > 1 ? `, attempt ${source.attempt}` : "";
  const lost = source.reconnects ? `, came back ${source.reconnects}×` : "";
  const offset = source.clock_offset_s === null ? "" : `, its clock ${signed(source.clock_offset_s)} s`;
  return `${name}, ${source.state}${tries}${lost}${offset}${source.reason ? `: ${source.reason}` : ""}`;
}

function signed(seconds) {
  return `${seconds < 0 ? "−" : "+"}${Math.abs(seconds).toFixed(3)}`;
}

function milliseconds(value) {
  return Number.isFinite(value) ? value.toFixed(0) : "–";
}

function keep(list, value, most) {
  list.push(value);
  if (list.length > most) list.shift();
}
