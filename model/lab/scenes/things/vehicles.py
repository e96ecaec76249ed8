"""Cars, vans, buses, lorries and bicycles in their real sizes. They face −z; the origin is on the ground below them."""

from __future__ import annotations

import math

from model.lab.scenes.stage import Spot
from model.lab.scenes.things.people import person

CAR_M = ((3.6, 5.0), (1.65, 1.95), (1.4, 1.75))
"""Ranges of a car's length, width and height."""


def car(spot: Spot, *, detail: bool = True) -> None:
    """A hatchback, saloon, estate or off-roader: bonnet, cabin with slanted windows, wheels, lights.

    26 primitives with ``detail``, 10 without, for those far away.
    """
    rng, paint = spot.rng, spot.paint
    length, w, h = (float(rng.uniform(*r)) for r in CAR_M)
    body = paint.plain(
        paint.any_color(0.4) if rng.random() < 0.6 else paint.grey(0.05, 0.95), gloss=float(rng.uniform(0.3, 0.9))
    )
    glass, tyre = paint.make("plain", [paint.grey(0.05, 0.3)], gloss=0.8), paint.dark()
    wheel = float(rng.uniform(0.58, 0.72))
    belt = h * float(rng.uniform(0.56, 0.64))  # where the windows begin
    lift = wheel * 0.33
    spot.box(body, (w, belt - lift - 0.08, length), (0, lift, 0))
    bonnet, boot = length * float(rng.uniform(0.2, 0.28)), length * float(rng.choice([0.02, 0.06, 0.16]))
    spot.box(body, (w * 0.94, 0.09, length * 0.96), (0, belt - 0.085, 0))
    front, rear = -length / 2 + bonnet, length / 2 - boot
    rise = h - belt
    slope, back = rise * float(rng.uniform(0.9, 1.5)), rise * float(rng.choice([0.2, 0.5, 1.1]))
    roof_w, roof_l = w * 0.8, rear - back - front - slope
    spot.box(body, (roof_w, 0.04, roof_l + 0.1), (0, h - 0.04, (front + slope + rear - back) / 2))
    spot.box(glass, (w * 0.84, rise - 0.03, roof_l), (0, belt, (front + slope + rear - back) / 2))
    for z, run, sign in ((front + slope / 2, slope, 1), (rear - back / 2, back, -1)):
        pane = math.hypot(run, rise)
        spot.box(
            glass,
            (w * 0.83, pane, 0.05),
            (0, belt + rise / 2 - pane / 2 - 0.02, z),
            pitch=-sign * math.atan2(run, rise),
        )
        for x in (-1, 1) if detail else ():  # the pillars carry the body's colour
            spot.box(
                body,
                (0.06, pane, 0.06),
                (x * w * 0.4, belt + rise / 2 - pane / 2 - 0.01, z),
                pitch=-sign * math.atan2(run, rise),
            )
    axle = length * float(rng.uniform(0.29, 0.33))
    for x in (-1, 1):
        for z in (-axle, axle):
            spot.post(tyre, (wheel, 0.22, wheel), (x * (w / 2 - 0.1), wheel / 2 - 0.11, z), roll=math.pi / 2)
    if not detail:
        return
    rim = paint.metal()
    for x in (-1, 1):
        for z in (-axle, axle):
            spot.post(
                rim, (wheel * 0.62, 0.02, wheel * 0.62), (x * (w / 2 + 0.012), wheel / 2 - 0.01, z), roll=math.pi / 2
            )
    lit = float(rng.choice([0.0, 3.0], p=[0.7, 0.3]))
    for x in (-1, 1):
        spot.ball(paint.glow(lit, (1, 0.97, 0.9)), (0.32, 0.15, 0.1), (x * w * 0.36, belt - 0.3, -length / 2))
        spot.box(paint.glow(lit * 0.3, (0.5, 0.01, 0.01)), (0.25, 0.18, 0.04), (x * w * 0.38, belt - 0.32, length / 2))
    plate = paint.make("marks", [paint.grey(0.8, 0.95), paint.grey(0.05, 0.1), paint.vivid()], 0.07)
    for z in (-1, 1):
        spot.box(plate, (0.5, 0.11, 0.02), (0, lift + 0.12, z * (length / 2 + 0.01)))


def van(spot: Spot, *, lorry: bool = False) -> None:
    """A delivery van of 5 to 6 m, or a lorry of 7 to 10 m with a box behind its cab."""
    rng, paint = spot.rng, spot.paint
    length, w, h = (
        (float(rng.uniform(7, 10)), 2.5, float(rng.uniform(3.2, 3.8)))
        if lorry
        else (float(rng.uniform(4.9, 6.2)), 2.0, float(rng.uniform(2.0, 2.7)))
    )
    body, glass, tyre = (
        paint.plain(paint.any_color(0.3), gloss=0.4),
        paint.make("plain", [paint.grey(0.05, 0.25)], gloss=0.8),
        paint.dark(),
    )
    cab = 2.0 if lorry else 1.6
    wheel = 1.0 if lorry else 0.7
    cab_h = min(h, 2.7) if lorry else h
    spot.box(body, (w, cab_h - 0.35, cab), (0, 0.35, -length / 2 + cab / 2))
    spot.box(glass, (w * 0.9, cab_h * 0.33, 0.03), (0, cab_h * 0.58, -length / 2 - 0.01), pitch=0.0)
    for x in (-1, 1):
        spot.box(glass, (0.03, cab_h * 0.3, cab * 0.6), (x * (w / 2), cab_h * 0.6, -length / 2 + cab * 0.55))
    load = paint.print() if rng.random() < 0.3 else body if rng.random() < 0.7 else paint.plain(paint.any_color(0.3))
    spot.box(load, (w, h - (0.9 if lorry else 0.35), length - cab - 0.05), (0, 0.9 if lorry else 0.35, cab / 2 + 0.02))
    if lorry:
        spot.box(tyre, (w * 0.5, 0.3, length - 0.4), (0, 0.55, 0))
    for x in (-1, 1):
        for z in (-length / 2 + wheel, length * 0.3):
            spot.post(tyre, (wheel, 0.28, wheel), (x * (w / 2 - 0.13), wheel / 2 - 0.14, z), roll=math.pi / 2)
        spot.box(paint.glow(0.3, (0.5, 0.01, 0.01)), (0.15, 0.3, 0.03), (x * w * 0.43, 0.9, length / 2 + 0.01))
        spot.box(paint.glow(0.5, (1, 0.97, 0.9)), (0.3, 0.18, 0.03), (x * w * 0.38, 0.75, -length / 2 - 0.01))


def bus(spot: Spot) -> None:
    """A city bus, 11 to 12 m long, 2.55 m wide, 3 m high, with a band of windows."""
    rng, paint = spot.rng, spot.paint
    length, w, h = float(rng.uniform(11, 12.2)), 2.55, float(rng.uniform(2.9, 3.2))
    body, tyre = paint.plain(paint.any_color(0.6), gloss=0.4), paint.dark()
    glass = paint.make("panes", [paint.grey(0.05, 0.2), paint.grey(0.1, 0.35), paint.grey(0.1, 0.4)], 1.2, gloss=0.7)
    spot.box(body, (w, 0.75, length), (0, 0.3, 0))
    spot.box(glass, (w - 0.04, h - 1.4, length - 0.04), (0, 1.05, 0))
    spot.box(body, (w, 0.35, length), (0, h - 0.35, 0))
    for x in (-1, 1):
        for z in (-length * 0.28, length * 0.25):
            spot.post(tyre, (0.95, 0.3, 0.95), (x * (w / 2 - 0.14), 0.475 - 0.15, z), roll=math.pi / 2)
    spot.box(
        paint.make("marks", [(0.02, 0.02, 0.02), (1, 0.6, 0.1), (1, 0.6, 0.1)], 0.2, emission=0.6),
        (1.4, 0.25, 0.03),
        (0, h - 0.32, -length / 2 - 0.02),
    )


def bicycle(spot: Spot, *, rider: bool = False) -> None:
    """Two wheels of 66 to 72 cm and the tubes between them, ridden or leaning on its stand."""
    rng, paint = spot.rng, spot.paint
    wheel, frame, tyre = float(rng.uniform(0.66, 0.72)), paint.plastic(), paint.dark()
    for z in (-0.52, 0.52):
        spot.post(tyre, (wheel, 0.03, wheel), (0, wheel / 2 - 0.015, z), roll=math.pi / 2)
    axle, crank, saddle, fork = (0, wheel / 2, 0.52), (0, 0.28, 0.08), (0, 0.85, 0.22), (0, 0.85, -0.36)
    for a, b in (
        (axle, crank),
        (crank, saddle),
        (crank, fork),
        (saddle, fork),
        (axle, saddle),
        ((0, wheel / 2, -0.52), (0, 1.0, -0.33)),
    ):
        spot.limb(frame, 0.035, a, b)
    spot.limb(tyre, 0.03, (-0.28, 1.02, -0.3), (0.28, 1.02, -0.3))
    spot.box(tyre, (0.14, 0.06, 0.26), (0, 0.92, 0.24))
    if rider:
        person(spot.at(0, 0, 0.2), seat=0.92, detail=False)
