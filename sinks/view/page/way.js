// The way that the camera has gone, as seen from where it is now.

const MOST = 4000; // points; then every second one is dropped
const STEP_M = 0.005; // nearer points are one

export class CameraWay {
  constructor() {
    this.clear();
  }

  clear() {
    this.points = [];
    this.pose = null;
  }

  /** Take note of a frame's header. Where the camera is not known to be, its way waits; another stretch is another way. */
  add({ odometry }) {
    if (odometry && odometry.stretch !== this.stretch) {
      this.clear();
      this.stretch = odometry.stretch;
    }
    this.pose = odometry ?? null;
    if (!odometry) return;
    const [x, y, z] = odometry.position;
    const last = this.points.at(-1);
    if (last && Math.hypot(x - last[0], y - last[1], z - last[2]) < STEP_M) return;
    this.points.push([x, y, z]);
    if (this.points.length > MOST) this.points = this.points.filter((_, i) => i % 2 === 0);
  }

  /** Points in metres, x right, y down, z forward of the camera now, from the first to itself; null where it is not known. */
  seenFromHere() {
    if (!this.pose) return null;
    const { position: p, orientation: q } = this.pose;
    return [...this.points, p].map((at) => turnedBack(q, at.map((value, axis) => value - p[axis])));
  }
}

/** `v` in the axes that the unit quaternion `q` = x, y, z, w turns to. */
function turnedBack([x, y, z, w], v) {
  const cross = ([a, b, c], [d, e, f]) => [b * f - c * e, c * d - a * f, a * e - b * d];
  const axis = [-x, -y, -z];
  const once = cross(axis, v), twice = cross(axis, once);
  return v.map((value, i) => value + 2 * (w * once[i] + twice[i]));
}
