"""Which of several ways to launch the same arithmetic. Numbers differ by rounding at most; speed does, by the card."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How the inference network is put together.

    Attributes:
        gelu_in_product: let the matrix product apply the GELU before it rounds: one rounding and one pass over memory
            fewer. CUDA's products use the GELU's tanh form there.
        fused_norms: residual and LayerNorm in one pass (:func:`model.network.inference.fused.add_norm`).
        fused_convolutions: bias, sums and ReLU after a convolution in one pass.
        fused_head: the head's last steps in one pass.
        side_streams: the two transformers of the whole picture on streams of their own, beside the tiles.
    """

    gelu_in_product: bool = False
    fused_norms: bool = False
    fused_convolutions: bool = False
    fused_head: bool = False
    side_streams: bool = False

    @property
    def name(self) -> str:
        """What is on, for people."""
        return ", ".join(f.name.replace("_", " ") for f in fields(self) if getattr(self, f.name)) or "plain operations"


PLAIN = Variant()
"""Every operation by itself: what runs on a CPU, and what the others are checked against."""

FUSED = Variant(gelu_in_product=True, fused_norms=True, fused_convolutions=True, fused_head=True, side_streams=True)
"""All of it."""
