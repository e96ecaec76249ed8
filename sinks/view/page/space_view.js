// The frame in space, at true scale: a surface or points, cut where depth jumps, over a floor with a line each metre.

import * as THREE from "three";
import { OrbitControls } from "./three/OrbitControls.js";
import { cubeMaterial, place } from "./cube.js";
import { floorOf, medianDepth } from "./floor.js";
import { DepthTexture, METRES } from "./shaders.js";

const VERTEX = /* glsl */ `
  ${METRES}
  uniform vec4 lens;   // fx, fy, cx, cy in pixels
  uniform vec2 reach;  // farthest depth in metres that is drawn; bend of inverse depth that is cut, as a share
  uniform float pixels; // of the canvas in which one metre at one metre is seen
  uniform int every;    // which pixel of each row and column is a vertex
  out vec2 place;
  out float metres;
  out float cut;
  void main() {
    ivec2 pixel = ivec2(position.xy);
    metres = metresAtPixel(pixel);
    cut = metres < 0.0 || metres > reach.x ? 1.0 : 0.0;
    // Inverse depth of a plane is a straight line in the picture, however steep: what bends it is a jump.
    for (int axis = 0; axis < 2; axis++) {
      ivec2 step = axis == 0 ? ivec2(every, 0) : ivec2(0, every);
      float before = metresAtPixel(pixel - step), behind = metresAtPixel(pixel + step);
      float bend = metres / before + metres / behind - 2.0;
      if (min(before, behind) < 0.0 || abs(bend) > reach.y) cut = 1.0;
    }
    place = (position.xy + 0.5) / vec2(textureSize(codes, 0));
    float z = max(metres, 0.0);
    vec4 seen = modelViewMatrix * vec4((position.x - lens.z) / lens.x * z, (lens.w - position.y) / lens.y * z, -z, 1.0);
    gl_PointSize = clamp(1.35 * float(every) * pixels * z / lens.x / max(-seen.z, 0.01), 1.0, 24.0);
    gl_Position = projectionMatrix * seen;
  }
`;

const FRAGMENT = /* glsl */ `
  uniform sampler2D picture;
  uniform sampler2D colors; // 256 × 1, from far to near
  uniform vec4 range;       // stretched depth of the far and the near end; spacing: 0 log, 1 inverse, 2 linear; by depth
  in vec2 place;
  in float metres;
  in float cut;
  out vec4 color;
  void main() {
    if (cut > 0.0) discard;
    float stretched = range.z < 0.5 ? log(metres) : range.z < 1.5 ? 1.0 / metres : metres;
    float near = clamp((stretched - range.x) / (range.y - range.x), 0.0, 1.0);
    vec3 byDepth = texture(colors, vec2((near * 254.0 + 1.5) / 256.0, 0.5)).rgb;
    color = vec4(range.w > 0.5 ? byDepth : texture(picture, place).rgb, 1.0);
  }
`;

THREE.ColorManagement.enabled = false; // colours as they come

const SPACINGS = ["log", "inverse", "linear"];
const STRETCH = { log: Math.log, inverse: (m) => 1 / m, linear: (m) => m };
const JUMP = 0.1;
const WAY = 0x39d98a;
const MOST_VERTICES = 260_000; // 640 × 360 has all of its pixels; more would not turn smoothly everywhere

export class SpaceView {
  /** @param {HTMLCanvasElement} canvas @param {() => void} changed called when it must be drawn again */
  constructor(canvas, changed) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace;
    this.renderer.setClearColor(0x0a0d12);
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(50, 1, 0.02, 3000);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = false;
    this.controls.addEventListener("change", changed);
    this.depth = new DepthTexture();
    this.uniforms = {
      ...this.depth.uniforms,
      lens: { value: new THREE.Vector4() },
      reach: { value: new THREE.Vector2(50, JUMP) },
      pixels: { value: 1 },
      every: { value: 1 },
      picture: { value: null },
      colors: { value: null },
      range: { value: new THREE.Vector4() },
    };
    const material = new THREE.ShaderMaterial({
      glslVersion: THREE.GLSL3,
      uniforms: this.uniforms,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      side: THREE.DoubleSide,
    });
    this.surface = new THREE.Mesh(new THREE.BufferGeometry(), material);
    this.points = new THREE.Points(this.surface.geometry, material);
    this.surface.frustumCulled = this.points.frustumCulled = false; // the vertices are placed by the shader
    this.cube = new THREE.Mesh(new THREE.BoxGeometry(), cubeMaterial(null));
    this.floor = new THREE.GridHelper(60, 60, 0x53708f, 0x243140);
    this.floor.position.z = -30;
    this.lens = new THREE.LineSegments(
      new THREE.BufferGeometry(),
      new THREE.LineBasicMaterial({ color: 0xf9a13a }),
    );
    this.way = new THREE.Line(new THREE.BufferGeometry(), new THREE.LineBasicMaterial({ color: WAY }));
    this.steps = new THREE.Points(
      this.way.geometry,
      new THREE.PointsMaterial({ color: WAY, size: 5, sizeAttenuation: false }),
    );
    this.scene.add(this.surface, this.points, this.cube, this.floor, this.lens, this.way, this.steps);
    this.floorY = null;
    this.atHome = false;
    this.frame = null;
  }

  /** Draw `frame`, which is drawn again when it is the same. Returns how far below the camera the floor is, in metres. */
  draw(frame, { shape, paint, range, map, factor, cube, way }) {
    const { renderer, camera, uniforms } = this;
    const { clientWidth: width, clientHeight: height } = renderer.domElement;
    renderer.setPixelRatio(Math.min(devicePixelRatio || 1, 2));
    renderer.setSize(width, height, false);
    camera.aspect = width / Math.max(1, height);
    camera.updateProjectionMatrix();
    uniforms.pixels.value = (renderer.domElement.height / 2) * camera.projectionMatrix.elements[5];
    if (this.frame !== frame) this.take(frame, factor, range);
    this.depth.set(frame, factor);
    uniforms.lens.value.set(frame.fx, frame.fy, frame.cx, frame.cy);
    uniforms.reach.value.x = range.max;
    const stretch = STRETCH[range.scale];
    const byDepth = paint === "depth" || !frame.bitmap;
    uniforms.range.value.set(stretch(range.max), stretch(range.min), SPACINGS.indexOf(range.scale), byDepth ? 1 : 0);
    this.setColors(map);
    this.surface.visible = shape === "mesh";
    this.points.visible = shape === "points";
    this.cube.visible = cube !== null;
    if (cube) place(this.cube, cube);
    this.drawWay(way, factor);
    if (!this.atHome) this.goHome();
    renderer.render(this.scene, camera);
    return this.floorY;
  }

  /** Stand a little behind and above the camera that took the picture, and look where it looked. */
  goHome() {
    this.atHome = true;
    const ahead = this.middle;
    this.controls.target.set(0, -0.1 * ahead, -ahead);
    this.camera.position.set(0.22 * ahead, 0.2 * ahead, 0.35 * ahead);
    this.controls.update();
  }

  take(frame, factor, range) {
    const { uniforms } = this;
    if (this.frame?.width !== frame.width || this.frame?.height !== frame.height) this.setGrid(frame);
    uniforms.picture.value ??= Object.assign(new THREE.Texture(), {
      minFilter: THREE.LinearFilter,
      generateMipmaps: false,
    });
    const picture = uniforms.picture.value;
    if (frame.bitmap) {
      if (picture.image?.width !== frame.bitmap.width || picture.image?.height !== frame.bitmap.height) picture.dispose();
      picture.image = frame.bitmap;
      picture.needsUpdate = true;
    }
    this.frame = frame;
    this.middle = medianDepth(frame, factor, range.max) ?? this.middle ?? 3;
    const floor = floorOf(frame, factor, range.max);
    const cut = frame.header.scene_cut || this.floorY === null;
    if (floor !== null) this.floorY = cut ? floor : 0.9 * this.floorY + 0.1 * floor;
    this.floor.visible = this.floorY !== null;
    this.floor.position.y = -(this.floorY ?? 0);
    this.drawLens(frame);
  }

  setGrid({ width, height }) {
    const every = Math.ceil(Math.sqrt((width * height) / MOST_VERTICES));
    const columns = Math.ceil(width / every), rows = Math.ceil(height / every);
    const places = new Float32Array(columns * rows * 3);
    const corners = new Uint32Array((columns - 1) * (rows - 1) * 6);
    for (let y = 0, at = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++, at += 3) [places[at], places[at + 1]] = [every * x, every * y];
    }
    for (let y = 0, at = 0; y < rows - 1; y++) {
      for (let x = 0; x < columns - 1; x++) {
        const i = y * columns + x;
        for (const corner of [i, i + columns, i + 1, i + 1, i + columns, i + columns + 1]) corners[at++] = corner;
      }
    }
    this.uniforms.every.value = every;
    const surface = new THREE.BufferGeometry();
    surface.setAttribute("position", new THREE.BufferAttribute(places, 3));
    const points = surface.clone();
    surface.setIndex(new THREE.BufferAttribute(corners, 1));
    this.surface.geometry.dispose();
    this.points.geometry.dispose();
    this.surface.geometry = surface;
    this.points.geometry = points;
  }

  setColors(map) {
    if (this.map === map) return;
    this.map = map;
    this.uniforms.colors.value?.dispose();
    const rgba = Uint8Array.from({ length: 1024 }, (_, i) => (i % 4 === 3 ? 255 : map[3 * (i >> 2) + (i % 4)]));
    const texture = new THREE.DataTexture(rgba, 256, 1);
    texture.minFilter = texture.magFilter = THREE.LinearFilter;
    texture.needsUpdate = true;
    this.uniforms.colors.value = texture;
  }

  /** The camera that took the picture: a pyramid as deep as a fifth of what it sees. */
  drawLens(frame) {
    const z = 0.12 * this.middle;
    const [left, top] = frame.point(-0.5, -0.5, z), [right, bottom] = frame.point(frame.width - 0.5, frame.height - 0.5, z);
    const c = [[left, top], [right, top], [right, bottom], [left, bottom]].map(([x, y]) => new THREE.Vector3(x, -y, -z));
    const eye = new THREE.Vector3();
    this.lens.geometry.dispose();
    this.lens.geometry = new THREE.BufferGeometry().setFromPoints(
      c.flatMap((corner, i) => [eye, corner, corner, c[(i + 1) % 4]]),
    );
  }

  /** The way of the camera, points in metres from the first to the camera; null: none. */
  drawWay(way, factor) {
    this.way.visible = this.steps.visible = way !== null && way.length > 2;
    const points = (way ?? []).map(([x, y, z]) => new THREE.Vector3(factor * x, -factor * y, -factor * z));
    this.way.geometry.dispose();
    this.way.geometry = this.steps.geometry = new THREE.BufferGeometry().setFromPoints(points);
  }
}
