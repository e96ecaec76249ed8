"""Where rays meet primitives, in each primitive's own axes and centre.

Every function takes broadcastable float32 tensors: ``o`` and ``d``, the three components of the rays' origins and
directions (of any length); ``h``, three half extents; ``shape``. It returns ``(t, face)``: the ray parameter of the
nearest
point in front of the origin, above ``MISS`` where there is none, and which face was hit (float32), None where it
was not
asked for or there is only one. Solids are met from outside only.

Conditions are sums: ``t + HUGE * max(0, violation)`` is t itself, to the last bit, where nothing is violated, and
beyond
``MISS`` elsewhere. On CPUs torch's maximum and addition are many times faster than its comparisons and selections.
"""

from __future__ import annotations

import torch
from torch import Tensor

Components = tuple[Tensor, Tensor, Tensor]
Hit = tuple[Tensor, Tensor | None]

NUDGE = 1e-20
"""Added to divisors: no effect on any number but zero, for which it keeps 0 / 0 from being NaN."""

MISS, HUGE = 1e9, 1e30


def box(o: Components, d: Components, h: Components, _shape: Tensor, faces: bool) -> Hit:
    """Slabs; the face is the axis of the slab entered last (0 x, 1 y, 2 z)."""
    enter_x, leave_x = _slab(o[0], d[0], h[0])
    enter_y, leave_y = _slab(o[1], d[1], h[1])
    enter_z, leave_z = _slab(o[2], d[2], h[2])
    first = torch.maximum(enter_x, enter_y)
    enter = torch.maximum(first, enter_z)
    leave = torch.minimum(torch.minimum(leave_x, leave_y), leave_z)
    t = _unless(enter.clone(), enter - leave)
    if not faces:
        return t, None
    is_y, is_z = _above(enter_y, enter_x), _above(enter_z, first)
    return t, torch.lerp(is_y, torch.full_like(is_z, 2.0), is_z)


def ellipsoid(o: Components, d: Components, h: Components, _shape: Tensor, _faces: bool) -> Hit:
    """The unit sphere after division by the half axes, solved around the ray's nearest point to the centre.

    Solving around that point keeps far, small spheres exact in float32, where ``b² - 4ac`` would cancel.
    """
    dx, dy, dz = d[0] / h[0], d[1] / h[1], d[2] / h[2]
    ox, oy, oz = o[0] / h[0], o[1] / h[1], o[2] / h[2]
    per_length = (dx * dx).addcmul_(dy, dy).addcmul_(dz, dz).reciprocal_()
    middle = (ox * dx).addcmul_(oy, dy).addcmul_(oz, dz).mul_(per_length).neg_()
    x, y, z = torch.addcmul(ox, middle, dx), torch.addcmul(oy, middle, dy), torch.addcmul(oz, middle, dz)
    outside = (x * x).addcmul_(y, y).addcmul_(z, z).sub_(1)
    return _unless(middle - (-outside).clamp_(min=0).mul_(per_length).sqrt_(), outside), None


def frustum(o: Components, d: Components, h: Components, shape: Tensor, faces: bool) -> Hit:
    """``x² + z² = (m + k y)²`` between two caps, in units of the half extents; face 1 is a cap.

    The radius is 1 at y = +1 and ``shape`` at y = -1, so ``m = (1 + shape) / 2`` and ``k = (1 - shape) / 2``.
    """
    m, k = (1 + shape) / 2, (1 - shape) / 2
    dx, dy, dz = d[0] / h[0], (d[1] / h[1]).add_(NUDGE), d[2] / h[2]
    ox, oy, oz = o[0] / h[0], o[1] / h[1], o[2] / h[2]
    a = (dx * dx).addcmul_(dz, dz)
    middle = (ox * dx).addcmul_(oy, dy).addcmul_(oz, dz).div_(torch.addcmul(a, dy, dy)).neg_()
    x, y, z = torch.addcmul(ox, middle, dx), torch.addcmul(oy, middle, dy), torch.addcmul(oz, middle, dz)
    radius, slope = torch.addcmul(m, k, y), k * dy
    a.addcmul_(slope, slope, value=-1).add_(NUDGE)
    b = (x * dx).addcmul_(z, dz).addcmul_(slope, radius, value=-1)
    c = (x * x).addcmul_(z, z).addcmul_(radius, radius, value=-1)
    beyond = (a * c).addcmul_(b, b, value=-1)
    q = torch.copysign((-beyond).clamp_(min=0).sqrt_(), b).add_(b).add_(NUDGE)
    first, second = (q / a).neg_(), (c / q).neg_()
    # A ray that misses the endless cone misses the sides and both caps alike, unless it looks along the axis.
    sides = []
    for root in (first, second):
        outside = torch.addcmul(y, root, dy).abs_().sub_(1)
        sides.append(_unless(root.add_(middle), torch.maximum(outside, beyond)))
    end = torch.sign(dy).neg_()
    to_cap = (end - y).div_(dy)
    cap_radius = torch.addcmul(m, k, end)
    cx, cz = torch.addcmul(x, to_cap, dx), torch.addcmul(z, to_cap, dz)
    outside = (cx * cx).addcmul_(cz, cz).addcmul_(cap_radius, cap_radius, value=-1)
    cap = _unless(to_cap.add_(middle), outside)
    side = torch.minimum(*sides)
    return torch.minimum(side, cap), _above(side, cap) if faces else None


def card(o: Components, d: Components, h: Components, _shape: Tensor, _faces: bool) -> Hit:
    """A rectangle in the plane z = 0."""
    t = -o[2] / (d[2] + NUDGE)
    x, y = torch.addcmul(o[0], t, d[0]).abs_().sub_(h[0]), torch.addcmul(o[1], t, d[1]).abs_().sub_(h[1])
    return _unless(t, torch.maximum(x, y)), None


def leaf(o: Components, d: Components, h: Components, shape: Tensor, _faces: bool) -> Hit:
    """A superellipse ``|x|^p + |y|^p <= 1`` in the plane z = 0; ``shape`` is p."""
    t = -o[2] / (d[2] + NUDGE)
    x, y = torch.addcmul(o[0], t, d[0]) / h[0], torch.addcmul(o[1], t, d[1]) / h[1]
    return _unless(t, x.abs_().pow_(shape) + y.abs_().pow_(shape) - 1), None


def ground(o: Components, d: Components, _h: Components, _shape: Tensor, _faces: bool) -> Hit:
    """The plane y = 0, met from above only."""
    return _unless(-o[1] / (d[1] + NUDGE), -d[1]), None


def _slab(o: Tensor, d: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    per_d = (d + NUDGE).reciprocal_()
    middle, reach = (o * per_d).neg_(), h * per_d.abs()
    return middle - reach, middle.add_(reach)


def _unless(t: Tensor, violation: Tensor) -> Tensor:
    """``t`` where it is not behind the origin and ``violation`` is not above zero; changes both."""
    return t.add_(torch.maximum(violation, -t).clamp_(min=0), alpha=HUGE)


def _above(a: Tensor, b: Tensor) -> Tensor:
    """1 where a > b, 0 elsewhere."""
    return (a - b).mul_(HUGE).clamp_(0, 1)


INTERSECT = (box, ellipsoid, frustum, card, leaf, ground)
"""In the order of ``scene.KINDS``."""
