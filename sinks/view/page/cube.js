// A cube of known size in the picture, hidden by whatever is nearer: what an augmented-reality program does with depth.

import * as THREE from "three";
import { DepthTexture, METRES } from "./shaders.js";

const VERTEX = /* glsl */ `
  out vec2 face;
  out vec3 towards;
  out float ahead;
  void main() {
    vec4 seen = modelViewMatrix * vec4(position, 1.0);
    face = uv;
    towards = normal;
    ahead = -seen.z;
    gl_Position = projectionMatrix * seen;
  }
`;

const FRAGMENT = /* glsl */ `
  #ifdef HIDDEN
  ${METRES}
  uniform vec4 panel; // left, bottom, width, height in pixels of the canvas
  #endif
  in vec2 face;
  in vec3 towards;
  in float ahead;
  out vec4 color;
  void main() {
    #ifdef HIDDEN
    vec2 size = vec2(textureSize(codes, 0));
    vec2 place = (gl_FragCoord.xy - panel.xy) / panel.zw;
    float depth = metresAtPixel(ivec2(vec2(place.x, 1.0 - place.y) * size));
    if (depth > 0.0 && depth < ahead) discard; // something is nearer
    #endif
    vec2 edge = min(face, 1.0 - face);
    float line = 1.0 - smoothstep(0.02, 0.035, min(edge.x, edge.y));
    float light = 0.72 + 0.28 * clamp(dot(normalize(towards), normalize(vec3(0.35, 0.85, 0.4))), 0.0, 1.0);
    color = vec4(mix(vec3(1.0, 0.56, 0.12) * light, vec3(0.22, 0.09, 0.0), line), 1.0);
  }
`;

/** Draws the cube over the panels of a `FlatView`. Its canvas is transparent. */
export class CubeOverlay {
  constructor(canvas) {
    this.renderer = new THREE.WebGLRenderer({ canvas, alpha: true, antialias: true, preserveDrawingBuffer: true });
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace; // colours as they are written
    this.renderer.autoClear = false;
    this.renderer.setClearColor(0x000000, 0);
    this.depth = new DepthTexture();
    this.panel = { value: new THREE.Vector4() };
    this.camera = new THREE.PerspectiveCamera();
    this.scene = new THREE.Scene();
    this.mesh = new THREE.Mesh(
      new THREE.BoxGeometry(),
      cubeMaterial({ ...this.depth.uniforms, panel: this.panel }),
    );
    this.scene.add(this.mesh);
  }

  /** Draw `cube`, `{point, size}`: it stands on a point in metres, x right, y down, z forward; null: nothing. */
  draw(frame, panels, cube, factor) {
    const { renderer } = this;
    const { clientWidth: width, clientHeight: height } = renderer.domElement;
    const ratio = devicePixelRatio || 1;
    renderer.setPixelRatio(ratio);
    renderer.setSize(width, height, false);
    renderer.setScissorTest(false);
    renderer.clear();
    if (!frame || !cube) return;
    this.depth.set(frame, factor);
    place(this.mesh, cube);
    renderer.setScissorTest(true);
    for (const p of panels) {
      const bottom = height - p.y - p.height;
      renderer.setViewport(p.x, bottom, p.width, p.height);
      renderer.setScissor(p.x, bottom, p.width, p.height);
      this.panel.value.set(p.x, bottom, p.width, p.height).multiplyScalar(ratio);
      setProjection(this.camera, frame);
      renderer.render(this.scene, this.camera);
    }
  }
}

/** How a cube looks; with `uniforms` of the depth and the panel it is hidden by what is nearer. */
export function cubeMaterial(uniforms) {
  return new THREE.ShaderMaterial({
    glslVersion: THREE.GLSL3,
    defines: uniforms ? { HIDDEN: "" } : {},
    uniforms: uniforms ?? {},
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
  });
}

/** Put a mesh of edge 1 where a cube stands. WebGL's y is up and its z backward. */
export function place(mesh, { point: [x, y, z], size }) {
  mesh.scale.setScalar(size);
  mesh.position.set(x, -y + size / 2, -z);
}

/** The projection that K describes, for the edges of the picture. Pixel centres lie at whole numbers. */
function setProjection(camera, frame) {
  const { width, height, fx, fy, cx, cy } = frame;
  const near = 0.01, far = 20_000;
  // prettier-ignore
  camera.projectionMatrix.set(
    (2 * fx) / width, 0, 1 - (2 * (cx + 0.5)) / width, 0,
    0, (2 * fy) / height, (2 * (cy + 0.5)) / height - 1, 0,
    0, 0, (far + near) / (near - far), (2 * far * near) / (near - far),
    0, 0, -1, 0,
  );
  camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
}
