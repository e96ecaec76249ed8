"""Streets: a road with lanes and kerbs, house fronts, vehicles, lamps, signs, trees and people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from model.scenes import illumination, vehicles
from model.scenes.people import person
from model.scenes.stage import Point, Spot, Stage
from model.scenes.trees import bush, fence, hedge, tree
from model.scenes.views import Eye, eye_height

KERB_M = (0.08, 0.16)
ROAD_M = 200.0
"""Length of the modelled road; it begins 30 m behind the origin."""


@dataclass(frozen=True)
class Section:
    """A street's cross-section in metres: half the road's width, the pavement's width and height, where houses begin."""

    road: float
    walk: float
    kerb: float
    houses: float


def street(stage: Stage) -> Eye:
    """A street along z, seen from its pavements, lanes and windows."""
    rng = stage.rng
    road, walk = float(rng.uniform(2.6, 6.5)), float(rng.uniform(1.5, 4.5))
    section = Section(road, walk, float(rng.uniform(*KERB_M)), road + walk + float(rng.choice([0.0, rng.uniform(0, 8)])))
    length = float(rng.uniform(50, 140))
    _surface(stage, section)
    _traffic(stage, section)
    _people(stage, section)
    lamps = _furniture(stage, section)
    _houses(stage, section, length)
    illumination.daylight(stage, lamps=lamps)

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        kind, z = rng.random(), float(rng.uniform(-12, 12))
        side = float(rng.choice([-1, 1]))
        if kind < 0.4:  # on the pavement
            height = section.kerb + eye_height(rng)
            x = side * (section.road + float(rng.uniform(0.2, 0.85)) * section.walk)
        elif kind < 0.75:  # in a car, on a bicycle, crossing the road
            height, x = float(rng.choice([rng.uniform(1.1, 1.5), rng.uniform(1.5, 2.4)])), side * float(rng.uniform(0.1, 0.9)) * section.road
        elif kind < 0.9:  # on a mast
            height, x = float(rng.uniform(2.5, 6)), side * float(rng.uniform(0.6, 1.2)) * section.road
        else:  # at the door of a house, or as high as a window
            height, x = float(rng.choice([1.6, rng.uniform(3, 8)])), side * (section.houses - 0.5)
        if kind < 0.9 and rng.random() < 0.7:  # along the street
            ahead = float(rng.uniform(8, 40))
            return (x, height, z), (x * 0.7 + float(rng.normal(0, 0.18)) * ahead, height - float(rng.normal(0.06, 0.06)) * ahead, z + ahead)
        if stage.interests and rng.random() < 0.6:
            return (x, height, z), stage.interests[int(rng.integers(len(stage.interests)))]
        return (x, height, z), (-x + float(rng.normal(0, 3)), float(rng.uniform(0.5, 2.5)), z + float(rng.normal(6, 5)))

    return eye


def _people(stage: Stage, section: Section) -> None:
    """People on the pavements and crossing the road, now and then on a bicycle."""
    rng, spot = stage.rng, stage.origin
    for _ in range(int(rng.integers(0, 9))):
        side, z = float(rng.choice([-1, 1])), float(rng.uniform(-4, 25)) if rng.random() < 0.8 else float(rng.uniform(25, 60))
        on_road = rng.random() < 0.15
        x = float(rng.uniform(-1, 1)) * section.road if on_road else side * (section.road + float(rng.uniform(0.4, max(section.walk - 0.2, 0.5))))
        if len(stage) < 92:
            person(spot.at(x, 0.0 if on_road else section.kerb, z, yaw=float(rng.choice([0, math.pi, rng.uniform(0, 6)]))), detail=abs(z) < 14)
            stage.interests.append((x, 1.2, z))
    if rng.random() < 0.25 and len(stage) < 85:
        vehicles.bicycle(spot.at(float(rng.uniform(-1, 1)) * section.road, 0, float(rng.uniform(4, 25)), yaw=float(rng.choice([0, math.pi]))), rider=True)


def _surface(stage: Stage, section: Section) -> None:
    """Ground, road, pavements with their kerbs, lane marks, crossings."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    stage.builder.ground(material=paint.road())
    stone, edge = paint.paving(), paint.concrete()
    long = ROAD_M
    for side in (-1, 1):
        if section.houses > section.road + section.walk + 0.3:  # front gardens
            spot.box(paint.lawn(), (60, section.kerb, long), (side * (section.road + section.walk + 30), 0, ROAD_M / 2 - 30))
        spot.box(stone, (section.walk, section.kerb, long), (side * (section.road + section.walk / 2 + 0.075), 0.002, ROAD_M / 2 - 30))
        spot.box(edge, (0.15, section.kerb + 0.006, long), (side * (section.road + 0.075), 0, ROAD_M / 2 - 30))
    white = paint.grey(0.7, 0.95) if rng.random() < 0.85 else (0.7, 0.45, 0.05)
    line = paint.plain(white)
    middle = rng.random()
    for k in range(9 if middle < 0.6 else 0):
        spot.patch(line, (0.12, 3.0), (0, 0.006, -7.5 + 7.5 * k))
    if 0.6 <= middle < 0.75:
        spot.patch(line, (0.12, long), (0, 0.006, ROAD_M / 2 - 30))
    if section.road > 5 and rng.random() < 0.5:
        for side in (-1, 1):
            spot.patch(line, (0.1, long), (side * (section.road - 2.1), 0.006, ROAD_M / 2 - 30))
    if rng.random() < 0.3:
        z = float(rng.uniform(4, 25))
        for k in range(round(section.road * 2 / 1.0)):
            spot.patch(line, (0.5, 3.5), (-section.road + 0.5 + k, 0.008, z))


def _houses(stage: Stage, section: Section, length: float) -> None:
    """Rows of house fronts with gaps, doors, shop windows, awnings, balconies; something closes the street far away."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    open_country = rng.random() < 0.12
    for side in (-1, 1):
        if open_country or rng.random() < 0.08:
            for _ in range(5):
                tree(spot.at(side * (section.houses + float(rng.uniform(1, 15))), 0, float(rng.uniform(-5, 60))), parts=7)
            continue
        z, row = -20.0 + float(rng.uniform(-8, 0)), float(rng.uniform(2, 6))
        while z < length and len(stage) < 142:
            wide, deep = float(rng.uniform(7, 24)), float(rng.uniform(8, 14))
            storey = float(rng.uniform(2.8, 3.5))
            tall = storey * max(1, round(row + float(rng.normal(0, 1.0)))) + float(rng.uniform(0.3, 1.2))
            house = spot.at(side * section.houses, 0, z + wide / 2, yaw=side * math.pi / 2)
            house.box(paint.facade(storey) if rng.random() < 0.92 else paint.wall(), (wide, tall, deep), (0, 0, deep / 2))
            if rng.random() < 0.4 and len(stage) < 135:
                _roof(house, wide, tall, deep)
            if z < 45 and len(stage) < 125:
                _front(house, wide, tall, storey)
            z += wide + (float(rng.choice([0.0, 0.0, rng.uniform(1, 10)])))
    if rng.random() < 0.6:
        storey = float(rng.uniform(2.8, 3.5))
        spot.box(paint.facade(storey), (float(rng.uniform(20, 60)), float(rng.uniform(2, 10)) * storey, 12), (float(rng.uniform(-10, 10)), 0, length + 25))


def _roof(house: Spot, wide: float, tall: float, deep: float) -> None:
    """A pitched roof: two slanted slabs that meet over the middle."""
    tiles = house.paint.surface("bricks", [house.paint.earth(0.2, 0.5), house.paint.grey(0.1, 0.3)], 0.3)
    rise = deep / 2 * float(house.rng.uniform(0.5, 1.0))
    slope = math.hypot(deep / 2, rise) + 0.4
    angle = math.atan2(rise, deep / 2)
    house.box(tiles, (wide + 0.3, 0.2, slope), (0, tall + rise / 2 - 0.1, deep * 0.25), pitch=angle)
    house.box(tiles, (wide + 0.3, 0.2, slope), (0, tall + rise / 2 - 0.1, deep * 0.75), pitch=-angle)


def _front(house: Spot, wide: float, tall: float, storey: float) -> None:
    """Door, shop windows, awning, balconies, drainpipe, sign."""
    rng, paint = house.rng, house.paint
    x = float(rng.uniform(-0.35, 0.35)) * wide
    house.box(paint.lacquer(), (float(rng.uniform(0.9, 1.2)), float(rng.uniform(2.0, 2.3)), 0.08), (x, 0.1, 0))
    house.box(paint.concrete(), (1.5, 0.12, 0.5), (x, 0, -0.25))
    if rng.random() < 0.35:
        glass = paint.make("panes", [paint.grey(0.1, 0.5), paint.grey(0.05, 0.3), paint.any_color(0.5)], 1.6, gloss=0.6)
        left = 0.2 * wide if x < 0 else -0.2 * wide
        house.box(glass, (wide * 0.45, 2.2, 0.06), (left, 0.45, 0))
        house.box(paint.print(), (wide * 0.45, 0.6, 0.12), (left, 2.75, 0))
        if rng.random() < 0.5:
            house.box(paint.cloth(), (wide * 0.4, 0.05, 1.3), (left, 2.5, -0.6), pitch=0.3)
    if rng.random() < 0.3 and tall > 2 * storey:
        for k in range(1, min(4, int(tall / storey))):
            house.box(paint.concrete(), (2.6, 0.15, 1.1), (-x * 0.7, k * storey, -0.55))
            house.box(paint.metal(), (2.6, 0.9, 0.04), (-x * 0.7, k * storey + 0.15, -1.08))
    if rng.random() < 0.3:
        house.limb(paint.metal(), 0.1, (wide / 2 - 0.3, 0, -0.07), (wide / 2 - 0.3, tall, -0.07))


def _traffic(stage: Stage, section: Section) -> None:
    """Vehicles parked at the kerbs and driving in the lanes."""
    rng, spot = stage.rng, stage.origin
    for side in (-1, 1):
        z = float(rng.uniform(-12, 6))
        busy = float(rng.choice([0.0, 0.35, 0.75]))
        while z < 45:
            if rng.random() < busy and len(stage) < 62:
                x = side * (section.road - 1.05)
                _vehicle(spot.at(x, 0, z, yaw=(0.0 if side < 0 else math.pi) + float(rng.normal(0, 0.03))), small=True)
                stage.interests.append((x, 0.8, z))
            z += float(rng.uniform(5.8, 7.5))
    for _ in range(int(rng.integers(0, 4))):
        side = float(rng.choice([-1, 1]))
        lane = max(section.road - 4.0, 1.1) if section.road > 4.2 else section.road / 2
        z = float(math.exp(rng.uniform(math.log(7), math.log(70))))
        if len(stage) < 72:
            _vehicle(spot.at(side * lane, 0, z, yaw=0.0 if side < 0 else math.pi), small=False)
            stage.interests.append((side * lane, 1.0, z))


def _vehicle(spot: Spot, *, small: bool) -> None:
    kind = spot.rng.random()
    if kind < (0.85 if small else 0.7):
        vehicles.car(spot)
    elif kind < 0.95 or small:
        vehicles.van(spot, lorry=not small and bool(spot.rng.random() < 0.4))
    else:
        vehicles.bus(spot)


def _furniture(stage: Stage, section: Section) -> list[Point]:
    """Lamps, trees, signs, bollards, bins and fences on the pavements. Returns where the lamps shine."""
    rng, spot = stage.rng, stage.origin
    lit: list[Point] = []
    every, tall, start = float(rng.uniform(18, 35)), float(rng.uniform(4.5, 9)), float(rng.uniform(-6, 10))
    steel = stage.paint.metal()
    lamp_side = float(rng.choice([-1, 1]))
    for k in range(3 if rng.random() < 0.85 else 0):
        post = spot.at(lamp_side * (section.road + 0.5), section.kerb, start + k * every, yaw=-lamp_side * math.pi / 2)
        street_lamp(post, tall, steel)
        lit.append((lamp_side * (section.road - 0.8), tall - 0.3, start + k * every))
    if rng.random() < 0.6:
        gap, z, side = float(rng.uniform(6, 14)), float(rng.uniform(-4, 8)), float(rng.choice([-1, 1]))
        size = float(rng.uniform(4, 9))
        for k in range(6):
            if len(stage) < 115:
                x = side * (section.road + min(section.walk - 0.4, float(rng.uniform(0.7, 1.1))))
                tree(spot.at(x, section.kerb, z + k * gap, yaw=float(rng.uniform(0, 6))), height=size * float(rng.uniform(0.8, 1.2)), parts=9 if k < 2 else 6)
                if rng.random() < 0.3:
                    side = -side
    for _ in range(int(rng.integers(0, 7))):
        side, z = float(rng.choice([-1, 1])), float(rng.uniform(-3, 35))
        place = spot.at(side * (section.road + float(rng.uniform(0.35, 0.7))), section.kerb, z)
        kind = rng.integers(7)
        if len(stage) > 112:
            break
        if kind <= 1:
            sign(place)
        elif kind == 2:
            traffic_light(place)
        elif kind == 3:
            for j in range(4):
                place.post(steel, (0.11, 0.95, 0.11), (0, 0, j * 1.5), taper=0.9)
        elif kind == 4:
            place.post(stage.paint.plastic(), (0.42, 0.9, 0.42), (0, 0.08, 0), taper=1.1)
        elif kind == 5:
            bench(place.at(side * 0.4, 0, 0, yaw=side * math.pi / 2))
        else:
            fence(place.at(yaw=math.pi / 2), 8.0)
    if section.houses > section.road + section.walk + 2:
        for side in (-1, 1):
            for _ in range(2):
                there = spot.at(side * (section.road + section.walk + 0.8), section.kerb, float(rng.uniform(0, 30)), yaw=math.pi / 2)
                if len(stage) < 118:
                    (bush if rng.random() < 0.4 else lambda s: hedge(s, 9.0))(there)
    return lit


def street_lamp(spot: Spot, tall: float, steel: int) -> None:
    """A mast with an arm towards +z and a lamp at its end."""
    spot.limb(steel, 0.16, (0, 0, 0), (0, tall, 0), taper=0.55)
    spot.limb(steel, 0.08, (0, tall - 0.05, 0), (0, tall + 0.1, 1.3))
    spot.box(spot.paint.glow(float(spot.rng.choice([0.6, 4.0]))), (0.22, 0.1, 0.6), (0, tall + 0.03, 1.5))


def sign(spot: Spot) -> None:
    """A traffic sign, 60 to 75 cm, at 2.0 to 2.5 m on a 6 cm post."""
    rng, paint = spot.rng, spot.paint
    tall, size = float(rng.uniform(2.0, 2.5)), float(rng.uniform(0.6, 0.75))
    spot.post(paint.metal(), (0.06, tall + size, 0.06))
    face = paint.make("dots" if rng.random() < 0.4 else "marks", [paint.vivid(), paint.grey(0.8, 0.95), paint.vivid()], size * 0.5, jitter=0.0)
    outline = float(rng.choice([2.0, 1.0, math.inf]))
    spot.card(face, (size, size), (0, tall, -0.045), outline=outline, yaw=float(rng.normal(0, 0.2)))


def traffic_light(spot: Spot) -> None:
    """A post of 3.3 m with three lights of 20 cm."""
    paint = spot.paint
    spot.post(paint.metal(), (0.12, 3.3, 0.12))
    spot.box(paint.dark(), (0.3, 0.95, 0.2), (0, 2.3, -0.12))
    on = int(spot.rng.integers(3))
    for k, color in enumerate(((0.1, 1.0, 0.4), (1.0, 0.6, 0.05), (1.0, 0.05, 0.03))):
        spot.ball(paint.glow(3.0 if k == on else 0.0, color if k == on else (0.05, 0.05, 0.05)), (0.2, 0.2, 0.08), (0, 2.37 + 0.3 * k, -0.22))


def bench(spot: Spot) -> None:
    """A bench 1.6 m long with a back, its back towards +z."""
    wood, iron = spot.paint.lacquer(), spot.paint.metal()
    for z in (-0.2, -0.03, 0.14):
        spot.box(wood, (1.6, 0.035, 0.13), (0, 0.43, z))
    for h in (0.6, 0.76):
        spot.box(wood, (1.6, 0.12, 0.03), (0, h, 0.24 + (h - 0.6) * 0.25), pitch=-0.2)
    for x in (-0.65, 0.65):
        spot.limb(iron, 0.05, (x, 0, -0.18), (x, 0.43, -0.18), box=True)
        spot.limb(iron, 0.05, (x, 0, 0.2), (x, 0.88, 0.28), box=True)
