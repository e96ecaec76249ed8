"""What a ray has met: normals, texture coordinates and material of points on surfaces.

Vectors are kept as ``[3, n]``, each component in one piece: the arithmetic then runs at full width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.lab.scenes.renderer import textures
from model.lab.scenes.renderer.materials import ROW
from model.lab.scenes.renderer.scene import KINDS, Scene
from model.lab.scenes.renderer.trace import Solids

BOX, ELLIPSOID, FRUSTUM, CARD, LEAF, GROUND = range(len(KINDS))

PLAIN_FIELDS = 16
"""Rows of the table before the material's: centre, local axes, half extents, shape."""


@dataclass(frozen=True, slots=True)
class Points:
    """``n`` points on surfaces: position relative to the camera ``[3, n]`` in the world's axes,
    geometric normal and shading normal ``[3, n]``, towards the camera's side; albedo ``[3, n]``; gloss and
    emission ``[n]``."""

    position: Tensor
    normal: Tensor
    bumped: Tensor
    albedo: Tensor
    emission: Tensor
    gloss: Tensor


def table(solids: Solids, scenes: Sequence[Scene]) -> Tensor:
    """Everything about each primitive, float32 ``[PLAIN_FIELDS + ROW, P]``."""
    materials = torch.cat([s.materials[s.material] for s in scenes]).to(solids.center.device)
    plain = [solids.center, solids.to_local.reshape(-1, 9), solids.half, solids.shape[:, None]]
    return torch.cat([*plain, materials.reshape(-1, ROW)], 1).T.contiguous()


def describe(solids: Solids, rows: Tensor, direction: Tensor, z: Tensor, code: Tensor, pixel_angle: Tensor) -> Points:
    """Points at ``direction * z`` (``[3, n]``, ``[n]``) on surfaces ``code`` (see ``trace.nearest``); ``rows`` is
    :func:`table`; ``pixel_angle`` ``[n]``: a pixel's
    width at 1 m, in metres."""
    primitive, face = code.int() >> 2, code & 3
    about = rows.index_select(1, primitive)
    center, turn, half, shape = about[0:3], about[3:12], about[12:15], about[15]
    position = direction * z
    local = _turned(turn, position - center)
    kind = solids.kind.int().index_select(0, primitive)
    normal = torch.empty_like(local)
    tangent, uv = torch.empty_like(local), torch.empty_like(local[:2])
    for k, geometry in enumerate(_GEOMETRY):
        chosen = (kind == k).nonzero()[:, 0]
        if len(chosen):
            q, h = local.index_select(1, chosen), half.index_select(1, chosen)
            n, t, c = geometry(q, h, shape.index_select(0, chosen), face.index_select(0, chosen))
            _put(normal, chosen, n)
            _put(tangent, chosen, t)
            _put(uv, chosen, c)
    geometric = _turned_back(turn, normal)
    away = dot(geometric, direction)
    flip = torch.where(away > 0, -1.0, 1.0)
    geometric = geometric * flip
    slant = away.abs() / length(direction)
    footprint = z * pixel_angle / slant.clamp_(min=0.03).sqrt_()
    material = about[PLAIN_FIELDS:]
    albedo, slope_x, slope_y = _textured(material, uv, footprint)
    bump = material[15] * 0.35
    other = torch.linalg.cross(normal, tangent, dim=0)
    tilted = normal - bump * (slope_x * tangent + slope_y * other)
    bumped = _turned_back(turn, tilted) * (flip / length(tilted))
    return Points(position, geometric, bumped, albedo, material[16], material[14])


def _textured(material: Tensor, uv: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Albedo ``[3, n]`` and the relief's slopes ``[n]``; each pattern is evaluated where it is."""
    height, width = material[10], material[10] * material[11]
    x, y, footprint = uv[0] / width, uv[1] / height, footprint / torch.minimum(height, width)
    albedo = torch.empty_like(material[:3])
    slope_x, slope_y = torch.zeros_like(height), torch.zeros_like(height)
    pattern = material[0].int()
    for k in pattern.bincount().nonzero()[:, 0].tolist():
        chosen = (pattern == k).nonzero()[:, 0]
        m = material.index_select(1, chosen)
        texel = textures.FUNCTIONS[k](
            textures.Surface(
                x.index_select(0, chosen),
                y.index_select(0, chosen),
                footprint.index_select(0, chosen),
                gap=m[12],
                jitter=m[13],
                salt=m[17],
            )
        )
        color = m[1:4]
        if texel.second is not None:
            color = torch.lerp(color, m[4:7], texel.second.expand_as(color))
        if texel.third is not None:
            color = torch.lerp(color, m[7:10], texel.third.expand_as(color))
        if texel.tone is not None:
            color = color * texel.tone.clamp(min=0.05)
        _put(albedo, chosen, color)
        if texel.slope is not None:
            slope_x.scatter_(0, chosen, texel.slope[0])
            slope_y.scatter_(0, chosen, texel.slope[1])
    return albedo, slope_x, slope_y


def _box(q: Tensor, h: Tensor, _shape: Tensor, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    axes = torch.arange(3, device=q.device)[:, None]
    normal = torch.where(axes == face, q.sign(), 0.0)
    along = torch.where(face == 0, 2, 0)
    from_edge = q + h
    u = torch.where(face == 0, from_edge[2], from_edge[0])
    v = torch.where(face == 1, from_edge[2], from_edge[1])
    return normal, (axes == along).float(), torch.stack([u, v])


def _ellipsoid(q: Tensor, h: Tensor, _shape: Tensor, _face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    normal = _unit(q / (h * h))
    return normal, *_wrapped(q, h, normal)


def _frustum(q: Tensor, h: Tensor, shape: Tensor, face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    m, k = (1 + shape) / 2, (1 - shape) / 2
    x, y, z = (q / h).unbind(0)
    side = torch.stack([x / h[0], -k * (m + k * y) / h[1], z / h[2]])
    nowhere = torch.zeros_like(x)
    cap = torch.stack([nowhere, y.sign(), nowhere])
    is_cap = face == 1
    normal = _unit(torch.where(is_cap, cap, side))
    tangent, uv = _wrapped(q, h, normal)
    ahead = torch.stack([torch.ones_like(x), nowhere, nowhere])
    flat = torch.stack([q[0] + h[0], q[2] + h[2]])
    return normal, torch.where(is_cap, ahead, tangent), torch.where(is_cap, flat, uv)


def _wrapped(q: Tensor, h: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Tangent and coordinates around the local y axis: metres along the girth, metres down."""
    angle = torch.atan2(q[0] / h[0], q[2] / h[2])
    around = torch.stack([normal[2], torch.zeros_like(angle), -normal[0]])
    tangent = around / length(around).clamp_(min=1e-6)
    return tangent, torch.stack([(angle + math.pi) * (h[0] + h[2]) / 2, q[1] + h[1]])


def _card(q: Tensor, h: Tensor, _shape: Tensor, _face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    nowhere, one = torch.zeros_like(q[0]), torch.ones_like(q[0])
    return torch.stack([nowhere, nowhere, one]), torch.stack([one, nowhere, nowhere]), q[:2] + h[:2]


def _ground(q: Tensor, _h: Tensor, _shape: Tensor, _face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    nowhere, one = torch.zeros_like(q[0]), torch.ones_like(q[0])
    return torch.stack([nowhere, -one, nowhere]), torch.stack([one, nowhere, nowhere]), q[::2]


_GEOMETRY = (_box, _ellipsoid, _frustum, _card, _card, _ground)
"""Local normal, tangent and texture coordinates, in the order of ``KINDS``."""


def _put(into: Tensor, at: Tensor, values: Tensor) -> None:
    into.scatter_(1, at.expand(len(into), -1), values)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """``[3, n]`` with ``[3, n]``: ``[n]``. By component: torch's sum and norm over a short first axis are far
    slower."""
    return (a[0] * b[0]).addcmul_(a[1], b[1]).addcmul_(a[2], b[2])


def length(a: Tensor) -> Tensor:
    """Of vectors ``[3, n]``: ``[n]``."""
    return dot(a, a).sqrt_()


def _unit(a: Tensor) -> Tensor:
    return a / length(a)


def _turned(turn: Tensor, v: Tensor) -> Tensor:
    """World to local axes; ``turn`` ``[9, n]`` row by row."""
    return torch.stack([dot(turn[3 * i : 3 * i + 3], v) for i in range(3)])


def _turned_back(turn: Tensor, v: Tensor) -> Tensor:
    return torch.stack([dot(turn[i::3], v) for i in range(3)])
