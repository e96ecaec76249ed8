"""Floor plans: what stands where in a room."""

from __future__ import annotations

import math

from model.lab.scenes.places import shell
from model.lab.scenes.places.shell import Opening
from model.lab.scenes.stage import Size, Spot, Stage
from model.lab.scenes.things.furniture import PIECES, table
from model.lab.scenes.things.seats import chair


class Plan:
    """A floor plan: which rectangles are taken, so that pieces do not stand in each other."""

    def __init__(self, stage: Stage, size: Size) -> None:
        self.stage, self.size = stage, size
        self._taken: list[tuple[float, float, float, float]] = []  # x0, z0, x1, z1
        self._sides = shell.sides(stage.origin, size)

    def keep_free(self, side: int, hole: Opening) -> None:
        """Nothing stands in front of a door, little in front of a window."""
        deep = 0.9 if hole.door else 0.12 if hole.bottom > 0.6 else 0.3
        self._claim(self._sides[side][0], (hole.left + hole.right) / 2, -deep / 2, hole.right - hole.left, deep)

    def reserve(self, place: Spot, width: float, depth: float) -> None:
        """Keeps the rectangle around a spot free."""
        self._claim(place, 0, 0, width, depth)

    def place(self, name: str) -> bool:
        """Puts a piece of furniture somewhere, against a wall where it belongs; False where there was no room."""
        if name == "dining":
            return self._dining()
        rng, piece = self.stage.rng, PIECES[name]
        w, h, d = piece.draw(rng)
        for _ in range(8):
            side = int(rng.integers(4))
            place, length = self._sides[side]
            across = self.size[2] if side % 2 == 0 else self.size[0]
            if length - 2 * shell.THICKNESS_M < w + 0.05 or across < d + 0.4:
                continue
            x = float(rng.uniform(-0.5, 0.5)) * (length - 2 * shell.THICKNESS_M - w - 0.04)
            z = -d / 2 - 0.03 if piece.against_wall else -d / 2 - 0.1 - float(rng.random()) * (across - d - 0.2)
            if self._claim(place, x, z - piece.front / 2, w, d + piece.front):
                turn = 0.0 if piece.against_wall else float(rng.choice([0.0, rng.normal(0, 0.1)]))
                spot = place.at(x, 0, z, yaw=turn)
                piece.build(spot, (w, h, d))
                self.stage.interests.append((spot.x, h * 0.6, spot.z))
                return True
        return False

    def _dining(self) -> bool:
        """A table and the chairs around it."""
        rng, stage = self.stage.rng, self.stage
        w, h, d = PIECES["table"].draw(rng)
        for _ in range(8):
            if min(self.size[0] - w, self.size[2] - d) < 1.2:
                return False
            x = float(rng.uniform(-0.5, 0.5)) * (self.size[0] - w - 1.1)
            z = float(rng.uniform(-0.5, 0.5)) * (self.size[2] - d - 1.1)
            if not self._claim(stage.origin, x, z, w + 1.0, d + 1.0):
                continue
            middle = stage.origin.at(x, 0, z)
            table(middle, (w, h, d))
            stage.interests.append((x, h, z))
            for k in range(int(rng.integers(2, 7 if w > 1.3 else 5))):
                seat = middle.at(((k // 2) - 0.5 if w > 1.3 else 0) * w * 0.5, 0, 0) if k < 4 else middle
                out = d / 2 if k < 4 else w / 2
                yaw = (k % 2) * math.pi + (math.pi / 2 if k >= 4 else 0) + float(rng.normal(0, 0.08))
                spot = seat.at(yaw=yaw).at(0, 0, out + float(rng.uniform(-0.05, 0.25)))
                if len(stage) < 125:
                    chair(spot, (0.44, 0.88, 0.44))
            return True
        return False

    def _claim(self, place: Spot, x: float, z: float, w: float, d: float) -> bool:
        """Takes a rectangle of a wall's frame, unless part of it is taken."""
        corners = [place.world((x + sx * w / 2, 0, z + sz * d / 2)) for sx in (-1, 1) for sz in (-1, 1)]
        xs, zs = [c[0] for c in corners], [c[2] for c in corners]
        box = (min(xs), min(zs), max(xs), max(zs))
        if any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in self._taken):
            return False
        self._taken.append(box)
        return True
