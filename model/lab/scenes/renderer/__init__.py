"""The renderer: primitives in metres, rays, light, and the sensor that makes a photograph of it."""
