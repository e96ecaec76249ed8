"""Rays against a scene: which primitive each meets first, and whether anything stands before a light.

Rays travel in tiles, small groups that start close together and point in much the same direction. One comparison of
all tiles with all primitives leaves few pairs; these are intersected in chunks that stay in the processor's cache.
The same code runs on a GPU with larger chunks, and for many scenes at once: their tiles simply follow each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.lab.scenes.renderer.primitives import HUGE, INTERSECT, MISS, NUDGE
from model.lab.scenes.renderer.scene import KINDS, Scene

FRUSTUM, GROUND = KINDS.index("frustum"), KINDS.index("ground")

CHUNK_CPU, CHUNK_CUDA = 2**15, 2**23
"""Rays times primitives that are intersected at once."""


@dataclass(frozen=True, slots=True)
class Solids:
    """The primitives of ``B`` scenes, one after the other, relative to each scene's camera position.

    ``kind`` ``[P]``; ``center`` ``[P, 3]``; ``to_local`` ``[P, 3, 3]``; ``half`` ``[P, 3]``, ``shape`` and
    ``radius`` ``[P]``;
    ``first`` ``B + 1`` offsets: scene b owns primitives ``first[b]`` to ``first[b + 1]``, those of kind k are the
    span ``spans[b][k]``.
    """

    kind: Tensor
    center: Tensor
    to_local: Tensor
    half: Tensor
    shape: Tensor
    radius: Tensor
    first: Sequence[int]
    spans: Sequence[Sequence[tuple[int, int]]]

    @classmethod
    def of(cls, scenes: Sequence[Scene], positions: Sequence[Tensor], device: torch.device) -> Solids:
        """Scenes seen from ``positions`` (float64 ``[3]``, world). The subtraction is float64: far from the origin of
        the world nothing is lost."""
        first, spans = [0], []
        for scene in scenes:
            ends = scene.kind.bincount(minlength=len(KINDS)).cumsum(0).add_(first[-1]).tolist()
            spans.append(list(zip([first[-1], *ends], ends, strict=False)))
            first.append(ends[-1])
        center = torch.cat([(s.center.double() - p).float() for s, p in zip(scenes, positions, strict=True)])
        return cls(
            kind=torch.cat([s.kind for s in scenes]).to(device),
            center=center.to(device),
            to_local=torch.cat([s.turn for s in scenes]).mT.contiguous().to(device),
            half=torch.cat([s.half for s in scenes]).to(device),
            shape=torch.cat([s.shape for s in scenes]).to(device),
            radius=torch.cat([s.radius for s in scenes]).to(device),
            first=first,
            spans=spans,
        )


@dataclass(frozen=True, slots=True)
class Rays:
    """``T`` tiles of ``R`` rays; scene b owns tiles ``first[b]`` to ``first[b + 1]``.

    ``origin`` ``[T, 3, R]`` or, shared by a tile, ``[T, 3, 1]``; ``direction`` ``[T, 3, R]``; ``reach`` ``[T, R]``:
    the ray
    parameter at which a ray ends, negative for rays that are not there. For culling: ``start`` ``[T, 3]`` and
    ``heading`` ``[T, 3]``, a ray in the middle; ``spread_start`` and ``spread_heading`` ``[T]``: how far origins
    and directions are
    from it at most.
    """

    origin: Tensor
    direction: Tensor
    reach: Tensor | None
    start: Tensor
    heading: Tensor
    spread_start: Tensor
    spread_heading: Tensor
    first: Sequence[int]


def nearest(solids: Solids, rays: Rays, candidates: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """First hits: ray parameter float32 ``[T, R]``, +inf for none, and surface int32 ``[T, R]``: 4 · primitive +
    face, -1
    for none. ``candidates``: bool ``[tiles, primitives]`` of each scene, from :func:`may_meet`."""
    T, _, R = rays.direction.shape
    t_best = torch.full((T, R), MISS, device=rays.direction.device)
    surface = torch.full((T, R), -1.0, device=rays.direction.device)
    for tile, primitive, t, face, cuts in _hits(solids, rays, candidates, faces=True):
        # Surfaces are counted in float32, exact below 2**24, so that choosing is arithmetic (see primitives.py).
        code = (primitive * 4).float()[:, None].expand_as(t)
        if face is not None:
            code = face.add_(code)
        for a, b in cuts:
            rows, t_new = tile[a:b], t[a:b]
            before = t_best.index_select(0, rows)
            t_new = torch.minimum(t_new, before)
            closer = before.sub_(t_new).mul_(HUGE).clamp_(max=1)
            t_best.index_copy_(0, rows, t_new)
            surface.index_copy_(0, rows, torch.lerp(surface.index_select(0, rows), code[a:b], closer))
    return torch.where(t_best < MISS, t_best, math.inf), surface.int()


def occluded(solids: Solids, rays: Rays, *, grounds: bool) -> Tensor:
    """Whether anything is met before ``reach``: bool ``[T, R]``. Without ``grounds`` rays pass through these: they have
    nothing below them to shade."""
    assert rays.reach is not None
    T, _, R = rays.direction.shape
    t_best = torch.full((T, R), MISS, device=rays.direction.device)
    candidates = may_meet(solids, rays)
    if not grounds:
        candidates = [mask & (solids.kind[a:b] != GROUND) for mask, a, b in _by_scene(solids, candidates)]
    for tile, _, t, _, cuts in _hits(solids, rays, candidates, faces=False):
        for a, b in cuts:
            rows = tile[a:b]
            t_best.index_copy_(0, rows, torch.minimum(t_best.index_select(0, rows), t[a:b]))
    return t_best < rays.reach


def may_meet(solids: Solids, rays: Rays) -> list[Tensor]:
    """For each scene bool ``[tiles, primitives]``: false where no ray of the tile can meet the primitive.

    The middle ray against the primitive's bounding cuboid, which is grown by as much as any ray of the tile can be away
    from the middle ray where it meets the primitive.
    """
    scenes = range(len(solids.first) - 1)
    return [_may_meet(solids, slice(*solids.first[b : b + 2]), rays, slice(*rays.first[b : b + 2])) for b in scenes]


def _may_meet(solids: Solids, p: slice, rays: Rays, t: slice) -> Tensor:
    start, heading = rays.start[t], rays.heading[t]
    to_local, half = solids.to_local[p], solids.half[p]
    center, radius = solids.center[p], solids.radius[p]
    widest = torch.where(solids.kind[p] == FRUSTUM, solids.shape[p].clamp(min=1), 1.0)
    farthest = torch.cdist(start, center, compute_mode="donot_use_mm_for_euclid_dist").mul_(1.001).add_(radius + 1e-3)
    if rays.reach is not None:
        reach = rays.reach[t].amax(1)[:, None]
        farthest = torch.minimum(farthest, reach)
    # The last two terms cover the rounding of the products below.
    grown = torch.addcmul(rays.spread_start[t][:, None], farthest, rays.spread_heading[t][:, None])
    grown.mul_(1.001).add_(1e-4).add_(farthest, alpha=1e-6)
    enter, leave = torch.zeros_like(grown), farthest.clamp(min=0)
    for axis in range(3):
        row, extent = to_local[:, axis], half[:, axis] if axis == 1 else half[:, axis] * widest
        o = _product(start, row.T).sub_((center * row).sum(1))
        per_d = _product(heading, row.T).add_(NUDGE).reciprocal_()
        middle, around = o.mul_(per_d).neg_(), (grown + extent).mul_(per_d.abs())
        enter, leave = torch.maximum(enter, middle - around), torch.minimum(leave, middle.add_(around))
    meets = enter <= leave
    meets |= radius == math.inf
    return meets if rays.reach is None else meets & (reach > 0)


def _hits(
    solids: Solids, rays: Rays, candidates: Sequence[Tensor], *, faces: bool
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None, list[tuple[int, int]]]]:
    """Intersect all pairs of a tile and a primitive that may meet.

    Yields tiles ``[n]``, primitives ``[n]``, t ``[n, R]``, faces, and the cuts ``(a, b)`` between which no tile
    comes twice.
    """
    R = rays.direction.shape[2]
    chunk = max(1, (CHUNK_CUDA if rays.direction.is_cuda else CHUNK_CPU) // R)
    for kind, tiles, primitives, ends in _pairs(solids, rays, candidates):
        for begin in range(0, len(tiles), chunk):
            end = min(begin + chunk, len(tiles))
            tile, primitive = tiles[begin:end], primitives[begin:end]
            turn = solids.to_local.index_select(0, primitive)
            o = rays.origin.index_select(0, tile) - solids.center.index_select(0, primitive)[:, :, None]
            o_local = _product(turn, o).unbind(1)
            d_local = _product(turn, rays.direction.index_select(0, tile)).unbind(1)
            h = solids.half.index_select(0, primitive)[:, :, None].unbind(1)
            shape = solids.shape.index_select(0, primitive)[:, None]
            t, face = INTERSECT[kind](o_local, d_local, h, shape, faces)  # type: ignore[arg-type]
            inner = [e - begin for e in ends if begin < e < end]
            yield tile, primitive, t, face, list(zip([0, *inner], [*inner, end - begin], strict=True))


def _pairs(solids: Solids, rays: Rays, candidates: Sequence[Tensor]) -> Iterator[tuple[int, Tensor, Tensor, list[int]]]:
    """Per kind: tiles and primitives that may meet, ordered so that no tile repeats between two ``ends``."""
    for kind in range(len(KINDS)):
        tiles, primitives, ranks = [], [], []
        for b, (mask, first, _) in enumerate(_by_scene(solids, candidates)):
            # Within a scene the primitives of a kind are neighbours.
            begin, end = solids.spans[b][kind]
            if begin == end:
                continue
            chosen = mask[:, begin - first : end - first]
            tile, column = chosen.nonzero().unbind(1)
            count = chosen.sum(1)
            ranks.append(torch.arange(len(tile), device=tile.device) - (count.cumsum(0) - count).index_select(0, tile))
            tiles.append(tile + rays.first[b])
            primitives.append(column + begin)
        if sum(map(len, tiles)):
            rank = torch.cat(ranks)
            order = rank.argsort(stable=True)
            ends = rank.bincount().cumsum(0).tolist()
            yield kind, torch.cat(tiles)[order], torch.cat(primitives)[order], ends


def _by_scene(solids: Solids, masks: Sequence[Tensor]) -> Iterator[tuple[Tensor, int, int]]:
    return zip(masks, solids.first, solids.first[1:], strict=False)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product over an inner dimension of 3. On a GPU written out: its matrix units may be set to round to
    TF32, and
    depth must not depend on that."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2) if a.is_cuda else a @ b
