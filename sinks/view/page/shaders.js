// Depth on the graphics card: the 16-bit codes as a texture, and the metres that they mean.

import * as THREE from "three";

/** GLSL: `float metresOf(uint code)`; below zero where there is no estimate, huge beyond range. */
export const METRES = /* glsl */ `
  uniform highp usampler2D codes;
  uniform vec3 mapping; // near in metres and ln(far / near) of logarithmic codes, or 0 and 0 for millimetres; factor
  float metresOf(uint code) {
    if (code == 0u) return -1.0;
    if (code == 65535u) return 1.0e9;
    float metres = mapping.y > 0.0 ? mapping.x * exp(mapping.y * float(code - 1u) / 65533.0) : float(code) / 1000.0;
    return metres * mapping.z;
  }
  float metresAtPixel(ivec2 pixel) {
    ivec2 last = textureSize(codes, 0) - 1;
    return metresOf(texelFetch(codes, clamp(pixel, ivec2(0), last), 0).r);
  }
`;

/** Values for the uniforms of `METRES`. */
export class DepthTexture {
  constructor() {
    this.uniforms = { codes: { value: null }, mapping: { value: new THREE.Vector3() } };
    this.frame = null;
  }

  /** Take a frame's codes; its metres are multiplied with `factor`. */
  set(frame, factor) {
    const { header } = frame;
    if (header.encoding === "mm") this.uniforms.mapping.value.set(0, 0, factor);
    else this.uniforms.mapping.value.set(header.near_m, Math.log(header.far_m / header.near_m), factor);
    if (this.frame === frame) return;
    const { width, height } = frame;
    let texture = this.uniforms.codes.value;
    if (texture === null || this.frame.width !== width || this.frame.height !== height) {
      texture?.dispose(); // a texture of WebGL 2 keeps its size
      texture = new THREE.DataTexture(frame.codes, width, height, THREE.RedIntegerFormat, THREE.UnsignedShortType);
      this.uniforms.codes.value = texture;
    }
    texture.image = { data: frame.codes, width, height };
    texture.needsUpdate = true;
    this.frame = frame;
  }
}
