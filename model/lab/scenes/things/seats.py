"""What people sit and lie on, in its real size. The origin is the middle of the footprint, the back towards +z."""

from __future__ import annotations

import numpy as np

from model.lab.scenes.stage import Size, Spot
from model.lab.scenes.things.people import person


def legs(spot: Spot, material: int, size: Size, thickness: float, *, inset: float = 0.02, splay: float = 0.0) -> None:
    """Four legs under a footprint of ``size``."""
    w, h, d = size[0] / 2 - inset - thickness / 2, size[1], size[2] / 2 - inset - thickness / 2
    square = bool(spot.rng.random() < 0.5)
    for x in (-1, 1):
        for z in (-1, 1):
            spot.limb(material, thickness, (x * (w - splay), h, z * (d - splay)), (x * w, 0, z * d), box=square)


def chair(spot: Spot, size: Size) -> None:
    """Four thin legs, a seat at about 45 cm and a back of boards, bars or one panel."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    frame = paint.lacquer() if rng.random() < 0.65 else paint.metal()
    cover = paint.cloth() if rng.random() < 0.5 else frame
    seat = float(rng.uniform(0.42, 0.48))
    thin = float(rng.uniform(0.02, 0.045))
    spot.box(cover, (w, 0.04, d), (0, seat - 0.04, 0))
    legs(spot, frame, (w, seat - 0.04, d), thin, inset=0.0)
    lean = float(rng.uniform(0, 0.12))
    for x in (-1, 1):
        spot.limb(frame, thin, (x * (w / 2 - thin), seat, d / 2 - thin), (x * (w / 2 - thin), h, d / 2 - thin + lean))
    if rng.random() < 0.5:
        spot.box(
            cover,
            (w - thin, (h - seat) * 0.55, 0.025),
            (0, h - (h - seat) * 0.57, d / 2 - thin + lean * 0.7),
            pitch=-lean,
        )
    else:
        for k in range(int(rng.integers(2, 4))):
            spot.box(
                frame, (w - 2 * thin, 0.05, 0.015), (0, h - 0.06 - 0.13 * k, d / 2 - thin + lean * 0.8), pitch=-lean
            )


def office_chair(spot: Spot, size: Size) -> None:
    """A seat on a column with five feet."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    frame, cover, seat = paint.dark(), paint.cloth(), float(rng.uniform(0.43, 0.52))
    spot.post(frame, (0.05, seat - 0.05, 0.05), (0, 0.05, 0))
    for angle in np.linspace(0, 2 * np.pi, 6)[:5]:
        spot.limb(frame, 0.04, (0, 0.1, 0), (0.3 * float(np.sin(angle)), 0.03, 0.3 * float(np.cos(angle))), box=True)
    spot.box(cover, (w * 0.75, 0.07, d * 0.75), (0, seat - 0.03, 0))
    spot.box(cover, (w * 0.7, h - seat - 0.15, 0.06), (0, seat + 0.15, d * 0.36), pitch=-0.1)
    spot.limb(frame, 0.04, (0, seat, d * 0.33), (0, seat + 0.3, d * 0.38), box=True)


def stool(spot: Spot, size: Size) -> None:
    """Round seat, three or four splayed legs."""
    w, h, d = size
    spot.post(spot.paint.lacquer(), (w, 0.04, d), (0, h - 0.04, 0))
    legs(spot, spot.paint.lacquer(), (w * 0.95, h - 0.04, d * 0.95), 0.03, splay=0.06)


def sofa(spot: Spot, size: Size) -> None:
    """Base, back, arms, cushions; also an armchair when it is narrow."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    cover = paint.cloth()
    arm, seat = float(rng.uniform(0.1, 0.25)), float(rng.uniform(0.38, 0.46))
    foot = float(rng.choice([0.0, 0.06, 0.12]))
    spot.box(cover, (w, seat * 0.7 - foot, d), (0, foot, 0))
    spot.box(cover, (w, h - foot, 0.2), (0, foot, d / 2 - 0.1), pitch=-float(rng.uniform(0, 0.08)))
    high = seat + float(rng.uniform(0.12, 0.25))
    for x in (-1, 1):
        spot.box(cover, (arm, high - foot, d), (x * (w / 2 - arm / 2), foot, 0))
    count = max(1, round((w - 2 * arm) / 0.7))
    wide = (w - 2 * arm) / count
    for k in range(count):
        spot.box(cover, (wide - 0.015, 0.16, d - 0.24), (-w / 2 + arm + wide * (k + 0.5), seat - 0.12, -0.1))
    for _ in range(int(rng.integers(0, 3))):
        spot.ball(
            paint.cloth(),
            (0.45, 0.42, 0.16),
            (float(rng.uniform(-0.4, 0.4)) * (w - 2 * arm), seat + 0.02, d / 2 - 0.3),
            pitch=-0.3,
        )
    if rng.random() < 0.2:
        person(spot.at(float(rng.uniform(-0.25, 0.25)) * w, 0, -0.05), seat=seat)


def bed(spot: Spot, size: Size) -> None:
    """Frame, mattress, blanket, pillows and a headboard."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    frame = paint.lacquer()
    top = float(rng.uniform(0.42, 0.6))
    spot.box(frame, (w, 0.2, d), (0, top - 0.38, 0))
    legs(spot, frame, (w, top - 0.38, d), 0.07)
    spot.box(paint.plain(paint.grey(0.7, 0.95)), (w - 0.06, 0.2, d - 0.06), (0, top - 0.2, 0))
    spot.box(paint.cloth(), (w + 0.04, 0.22, d * 0.68), (0, top - 0.17, -d * 0.16))
    spot.box(frame, (w, h, 0.06), (0, 0, d / 2))
    pillow = paint.cloth()
    for x in (-1, 1) if w > 1.2 else (0,):
        spot.ball(pillow, (min(0.65, w * 0.6), 0.2, 0.42), (x * w / 4, top - 0.02, d / 2 - 0.35), pitch=-0.2)
