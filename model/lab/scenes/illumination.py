"""Light: days, evenings and nights outside, lamps and windows inside. Colours are linear; the sensor exposes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from model.lab.scenes.colors import RGB, linear, mix
from model.lab.scenes.stage import Point, Stage


def daylight(stage: Stage, *, lamps: Sequence[Point] = (), lowest: float = 8.0) -> str:
    """Sun, sky, clouds and haze for a scene outside; ``lamps`` are lit at dusk and at night.

    ``lowest`` bounds the sun's elevation in degrees. Returns the kind of weather.
    """
    rng, builder = stage.rng, stage.builder
    kind = stage.paint.pick([(5, "sunny"), (1.5, "hazy"), (2.6, "overcast"), (0.6, "dusk"), (0.3, "night")])
    elevation, azimuth = math.radians(float(rng.uniform(lowest, 75))), float(rng.uniform(0, 2 * math.pi))
    direction = (math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth))
    warm = mix((1.0, 0.97, 0.92), (1.0, 0.62, 0.3), max(0.0, 1 - elevation / 0.5))
    blue = linear(float(rng.uniform(0.55, 0.63)), float(rng.uniform(0.35, 0.8)), float(rng.uniform(0.6, 0.95)))
    white = stage.paint.grey(0.75, 1.0)
    if kind == "sunny":
        builder.sun(direction, _scaled(warm, float(rng.uniform(1.2, 2.6))))
        _ambient(stage, mix(blue, white, 0.5), float(rng.uniform(0.45, 0.8)), stage.paint.earth(0.4, 0.6))
        builder.sky(
            zenith=blue,
            horizon=mix(blue, (1, 1, 1), float(rng.uniform(0.4, 0.9))),
            clouds=float(rng.choice([0, rng.uniform(0, 0.7)])),
        )
    elif kind == "hazy":
        builder.sun(direction, _scaled(warm, float(rng.uniform(0.5, 1.2))))
        _ambient(stage, white, float(rng.uniform(0.5, 0.9)), white)
        builder.sky(zenith=mix(blue, white, 0.5), horizon=white, clouds=float(rng.uniform(0, 1)))
    elif kind == "overcast":
        _ambient(stage, white, float(rng.uniform(0.7, 1.1)), stage.paint.grey(0.3, 0.6))
        builder.sun((0.1, 1.0, 0.1), _scaled(white, float(rng.uniform(0.0, 0.3))), size=0.5)
        builder.sky(zenith=_scaled(white, 0.8), horizon=white, clouds=float(rng.uniform(0.3, 1)))
    elif kind == "dusk":
        low = (direction[0], 0.08, direction[2])
        builder.sun(low, _scaled((1.0, 0.5, 0.25), float(rng.uniform(0.0, 0.8))))
        _ambient(stage, linear(0.62, 0.4, 0.7), float(rng.uniform(0.3, 0.6)), linear(0.05, 0.3, 0.4))
        builder.sky(
            zenith=linear(0.63, 0.6, 0.45),
            horizon=linear(float(rng.uniform(0.02, 0.12)), 0.55, 0.9),
            clouds=float(rng.uniform(0, 0.8)),
        )
    else:
        _ambient(stage, linear(0.63, 0.4, 0.5), float(rng.uniform(0.25, 0.5)), linear(0.6, 0.2, 0.3))
        builder.sky(zenith=linear(0.64, 0.6, 0.12), horizon=linear(0.64, 0.4, 0.25), clouds=float(rng.uniform(0, 0.6)))
    if kind in ("dusk", "night"):
        glow = mix((1, 0.95, 0.85), (1, 0.6, 0.25), float(rng.random()))
        for lamp in list(lamps)[:3]:
            builder.lamp((lamp[0], -lamp[1], lamp[2]), _scaled(glow, float(rng.uniform(0.4, 1.2)) * lamp[1] ** 2))
    if rng.random() < 0.1:
        builder.fog(
            density=float(math.exp(rng.uniform(math.log(0.0015), math.log(0.02)))),
            color=_scaled(white, 0.25 if kind == "night" else 0.85),
        )
    return kind


def indoors(stage: Stage, lamps: Sequence[Point], *, day: bool = True) -> None:
    """Lamps at ``lamps`` (at most three are lit), ambient light, and what is seen through the windows.

    Each lamp makes a white floor under it look about as bright as a white wall in the ambient light, more or less.
    """
    rng, builder = stage.rng, stage.builder
    white = mix((1, 1, 1), (1, 0.78, 0.55), float(rng.beta(1.2, 2)))
    soft = float(rng.uniform(0.12, 0.6))
    if day:
        elevation, azimuth = math.radians(float(rng.uniform(15, 60))), float(rng.uniform(0, 2 * math.pi))
        if rng.random() < 0.6:
            builder.sun(
                (math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth)),
                _scaled((1, 0.93, 0.82), float(rng.uniform(1.0, 3.0))),
            )
        bright = float(rng.uniform(0.8, 3.0))
        blue = linear(float(rng.uniform(0.55, 0.62)), float(rng.uniform(0, 0.5)), 0.95)
        builder.sky(zenith=_scaled(blue, bright), horizon=_scaled((1, 1, 1), bright), clouds=float(rng.random()))
        soft *= 1.2
    else:
        builder.sky(zenith=(0.004, 0.006, 0.012), horizon=(0.02, 0.02, 0.03))
    _ambient(stage, mix((1, 1, 1), white, 0.5), soft, (0.55, 0.5, 0.45))
    chosen = [lamps[int(i)] for i in rng.permutation(len(lamps))[: int(rng.integers(0 if day else 1, 4))]] or list(
        lamps[:1]
    )
    for x, height, z in chosen[:3]:
        builder.lamp(
            (x, -height, z),
            _scaled(white, float(rng.uniform(0.25, 1.1)) * max(height, 1.2) ** 2 * (1.0 if len(chosen) > 1 else 1.3)),
        )


def _ambient(stage: Stage, up: RGB, strength: float, bounce: RGB) -> None:
    stage.builder.ambient(
        _scaled(up, strength), _scaled(mix(bounce, up, 0.4), strength * float(stage.rng.uniform(0.4, 0.8)))
    )


def _scaled(color: RGB, strength: float) -> RGB:
    return color[0] * strength, color[1] * strength, color[2] * strength
