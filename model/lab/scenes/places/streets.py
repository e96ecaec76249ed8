"""Streets: a road with lanes and kerbs, house fronts, vehicles, lamps, signs, trees and people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from model.lab.scenes import illumination
from model.lab.scenes.places.views import Eye, eye_height
from model.lab.scenes.stage import Point, Spot, Stage
from model.lab.scenes.things import vehicles
from model.lab.scenes.things.houses import House, front, roof
from model.lab.scenes.things.people import person
from model.lab.scenes.things.roadside import bench, sign, street_lamp, traffic_light
from model.lab.scenes.things.trees import bush, fence, hedge, tree

KERB_M = (0.08, 0.16)
ROAD_M = 200.0
"""Length of the modelled road; it begins 30 m behind the origin."""


@dataclass(frozen=True)
class Section:
    """A street's cross-section in metres: half the road's width, width and height of a pavement, where houses begin."""

    road: float
    walk: float
    kerb: float
    houses: float


def street(stage: Stage) -> Eye:
    """A street along z, seen from its pavements, lanes and windows."""
    rng = stage.rng
    road, walk = float(rng.uniform(2.6, 6.5)), float(rng.uniform(1.5, 4.5))
    section = Section(
        road, walk, float(rng.uniform(*KERB_M)), road + walk + float(rng.choice([0.0, rng.uniform(0, 8)]))
    )
    length = float(rng.uniform(50, 140))
    _surface(stage, section)
    houses = _houses(stage, section, length)
    _traffic(stage, section)
    _people(stage, section)
    lamps = _furniture(stage, section)
    for house in houses:
        if len(stage) < 138:
            front(house)
    illumination.daylight(stage, lamps=lamps)

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        kind, z = rng.random(), float(rng.uniform(-12, 12))
        side = float(rng.choice([-1, 1]))
        if kind < 0.4:  # on the pavement
            height = section.kerb + eye_height(rng)
            x = side * (section.road + float(rng.uniform(0.2, 0.85)) * section.walk)
        elif kind < 0.75:  # in a car, on a bicycle, crossing the road
            height, x = (
                float(rng.choice([rng.uniform(1.1, 1.5), rng.uniform(1.5, 2.4)])),
                side * float(rng.uniform(0.1, 0.9)) * section.road,
            )
        elif kind < 0.9:  # on a mast
            height, x = float(rng.uniform(2.5, 6)), side * float(rng.uniform(0.6, 1.2)) * section.road
        else:  # at the door of a house, or as high as a window
            height, x = float(rng.choice([1.6, rng.uniform(3, 8)])), side * (section.houses - 0.5)
        if kind < 0.9 and rng.random() < 0.7:  # along the street
            ahead = float(rng.uniform(8, 40))
            return (x, height, z), (
                x * 0.7 + float(rng.normal(0, 0.18)) * ahead,
                height - float(rng.normal(0.06, 0.06)) * ahead,
                z + ahead,
            )
        if stage.interests and rng.random() < 0.6:
            return (x, height, z), stage.interests[int(rng.integers(len(stage.interests)))]
        return (x, height, z), (-x + float(rng.normal(0, 3)), float(rng.uniform(0.5, 2.5)), z + float(rng.normal(6, 5)))

    return eye


def _people(stage: Stage, section: Section) -> None:
    """People on the pavements and crossing the road, now and then on a bicycle."""
    rng, spot = stage.rng, stage.origin
    for _ in range(int(rng.integers(0, 9))):
        side, z = (
            float(rng.choice([-1, 1])),
            float(rng.uniform(-4, 25)) if rng.random() < 0.8 else float(rng.uniform(25, 60)),
        )
        on_road = rng.random() < 0.15
        x = (
            float(rng.uniform(-1, 1)) * section.road
            if on_road
            else side * (section.road + float(rng.uniform(0.4, max(section.walk - 0.2, 0.5))))
        )
        if len(stage) < 108:
            person(
                spot.at(x, 0.0 if on_road else section.kerb, z, yaw=float(rng.choice([0, math.pi, rng.uniform(0, 6)]))),
                detail=abs(z) < 12,
            )
            stage.interests.append((x, 1.2, z))
    if rng.random() < 0.25 and len(stage) < 104:
        vehicles.bicycle(
            spot.at(
                float(rng.uniform(-1, 1)) * section.road,
                0,
                float(rng.uniform(4, 25)),
                yaw=float(rng.choice([0, math.pi])),
            ),
            rider=True,
        )


def _surface(stage: Stage, section: Section) -> None:
    """Ground, road, pavements with their kerbs, lane marks, crossings."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    stage.builder.ground(material=paint.road())
    stone, edge = paint.paving(), paint.concrete()
    long = ROAD_M
    for side in (-1, 1):
        if section.houses > section.road + section.walk + 0.3:  # front gardens
            spot.box(
                paint.lawn(), (60, section.kerb, long), (side * (section.road + section.walk + 30), 0, ROAD_M / 2 - 30)
            )
        spot.box(
            stone,
            (section.walk, section.kerb, long),
            (side * (section.road + section.walk / 2 + 0.075), 0.002, ROAD_M / 2 - 30),
        )
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


def _houses(stage: Stage, section: Section, length: float) -> list[House]:
    """Rows of houses with gaps; something closes the street far away. Returns the near ones, the nearest first."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    rows: list[tuple[float, House]] = []
    open_country = rng.random() < 0.08
    for side in (-1, 1):
        if open_country or rng.random() < 0.06:
            for _ in range(4):
                tree(
                    spot.at(side * (section.houses + float(rng.uniform(1, 15))), 0, float(rng.uniform(-5, 60))), parts=6
                )
            continue
        z, storeys, count = -20.0 + float(rng.uniform(-8, 0)), float(rng.uniform(1, 6)), 0
        while z < length and count < 11:
            wide, deep, storey = float(rng.uniform(7, 24)), float(rng.uniform(8, 14)), float(rng.uniform(2.8, 3.5))
            tall = storey * max(1, round(storeys + float(rng.normal(0, 1.0)))) + float(rng.uniform(0.3, 1.2))
            place = spot.at(side * section.houses, 0, z + wide / 2, yaw=side * math.pi / 2)
            place.box(
                paint.facade(storey) if rng.random() < 0.92 else paint.wall(), (wide, tall, deep), (0, 0, deep / 2)
            )
            if rng.random() < 0.45 and z < 40:
                roof(place, wide, tall, deep)
            if z < 40:
                rows.append((abs(z + wide / 2 - 8), House(place, wide, tall, storey)))
            z += wide + float(rng.choice([0.0, 0.0, rng.uniform(1, 10)]))
            count += 1
    if rng.random() < 0.6:
        storey = float(rng.uniform(2.8, 3.5))
        spot.box(
            paint.facade(storey),
            (float(rng.uniform(20, 60)), float(rng.uniform(2, 10)) * storey, 12),
            (float(rng.uniform(-10, 10)), 0, length + 25),
        )
    return [house for _, house in sorted(rows, key=lambda row: row[0])]


def _traffic(stage: Stage, section: Section) -> None:
    """Vehicles parked at the kerbs and driving in the lanes."""
    rng, spot = stage.rng, stage.origin
    for side in (-1, 1):
        z = float(rng.uniform(-12, 6))
        busy = float(rng.choice([0.0, 0.35, 0.75]))
        while z < 45:
            if rng.random() < busy and len(stage) < 80:
                x = side * (section.road - 1.05)
                _vehicle(spot.at(x, 0, z, yaw=(0.0 if side < 0 else math.pi) + float(rng.normal(0, 0.03))), small=True)
                stage.interests.append((x, 0.8, z))
            z += float(rng.uniform(5.8, 7.5))
    for _ in range(int(rng.integers(0, 4))):
        hand = float(rng.choice([-1, 1]))
        lane = max(section.road - 4.0, 1.1) if section.road > 4.2 else section.road / 2
        z = float(math.exp(rng.uniform(math.log(7), math.log(70))))
        if len(stage) < 90:
            _vehicle(spot.at(hand * lane, 0, z, yaw=0.0 if hand < 0 else math.pi), small=False)
            stage.interests.append((hand * lane, 1.0, z))


def _vehicle(spot: Spot, *, small: bool) -> None:
    kind = spot.rng.random()
    if kind < (0.85 if small else 0.7):
        vehicles.car(spot, detail=-6 < spot.z < 16)
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
            if len(stage) < 118:
                x = side * (section.road + min(section.walk - 0.4, float(rng.uniform(0.7, 1.1))))
                tree(
                    spot.at(x, section.kerb, z + k * gap, yaw=float(rng.uniform(0, 6))),
                    height=size * float(rng.uniform(0.8, 1.2)),
                    parts=9 if k < 2 else 6,
                )
                if rng.random() < 0.3:
                    side = -side
    for _ in range(int(rng.integers(0, 7))):
        side, z = float(rng.choice([-1, 1])), float(rng.uniform(-3, 35))
        place = spot.at(side * (section.road + float(rng.uniform(0.35, 0.7))), section.kerb, z)
        kind = rng.integers(7)
        if len(stage) > 122:
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
                there = spot.at(
                    side * (section.road + section.walk + 0.8), section.kerb, float(rng.uniform(0, 30)), yaw=math.pi / 2
                )
                if len(stage) < 125:
                    (bush if rng.random() < 0.4 else lambda s: hedge(s, 9.0))(there)
    return lit
