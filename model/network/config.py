"""The sizes a network comes in: a frozen description of one, and the named presets."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from stream.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Every number that shapes a Depth Pro network (arXiv 2410.02073, "Network"). The defaults are the published one.

    Attributes:
        tile_size: side of the square tiles the transformers see, in pixels; the input picture is four times as wide.
        patch_size: side of the patch that becomes one token, in pixels.
        width: channels of a token.
        depth: transformer blocks in each of the three transformers.
        heads: attention heads; divides ``width``.
        hook_blocks: the two blocks, counted from 0, whose raw outputs on the finest tiles become feature maps.
        decoder_dim: channels in the decoder; a multiple of 8, because the field-of-view head halves it three times.
        feature_dims: channels of the three encoder maps, finest picture first.

    Raises:
        ConfigError: the numbers do not fit together.
    """

    tile_size: int = 384
    patch_size: int = 16
    width: int = 1024
    depth: int = 24
    heads: int = 16
    hook_blocks: tuple[int, int] = (5, 11)
    decoder_dim: int = 256
    feature_dims: tuple[int, int, int] = (512, 1024, 1024)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, length = getattr(self, field.name), {"hook_blocks": 2, "feature_dims": 3}.get(field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            least = 0 if field.name == "hook_blocks" else 1
            if isinstance(value, tuple) != bool(length) or len(numbers) != (length or 1):
                raise ConfigError(f"{field.name} takes {f'{length} numbers' if length else 'a number'}, not {value!r}")
            if not all(type(n) is int and n >= least for n in numbers):
                raise ConfigError(f"{field.name} takes whole numbers from {least} on, not {value!r}")
        if self.tile_size % self.patch_size or self.grid % 8:
            raise ConfigError(
                f"tile_size / patch_size must be a multiple of 8, so that tiles overlap by whole tokens; "
                f"{self.tile_size} / {self.patch_size} is not"
            )
        if self.width % self.heads:
            raise ConfigError(f"width must be a multiple of heads; {self.width} is not a multiple of {self.heads}")
        if self.decoder_dim % 8:
            raise ConfigError(f"decoder_dim must be a multiple of 8, not {self.decoder_dim}")
        if not self.hook_blocks[0] < self.hook_blocks[1] < self.depth:
            raise ConfigError(
                f"hook_blocks must be two ascending block numbers below depth {self.depth}, not {self.hook_blocks}"
            )

    @property
    def grid(self) -> int:
        """Tokens along one side of a tile."""
        return self.tile_size // self.patch_size

    @property
    def input_size(self) -> int:
        """Side of the square network input, in pixels."""
        return 4 * self.tile_size

    @property
    def output_size(self) -> int:
        """Side of the square prediction, in pixels; equal to ``input_size`` for patches of 16 pixels."""
        return 64 * self.grid

    def to_json(self) -> str:
        """One line of JSON, for a checkpoint's metadata."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """The inverse of :meth:`to_json`.

        Raises:
            ConfigError: not JSON, a field is unknown or missing, or the numbers do not fit together.
        """
        try:
            values: Any = json.loads(text)
        except ValueError as exc:
            raise ConfigError(f"a network description must be JSON: {exc}") from exc
        names = {field.name for field in dataclasses.fields(cls)}
        # All fields are demanded: a default that changes later must not change what an old file means.
        if not isinstance(values, dict) or values.keys() != names:
            given = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise ConfigError(f"a network description has the fields {sorted(names)}, not {given}")
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fields)


PRESETS = MappingProxyType(
    {
        "depth-pro": NetworkConfig(),
        "nano": NetworkConfig(
            tile_size=128,
            width=192,
            depth=6,
            heads=3,
            hook_blocks=(1, 3),
            decoder_dim=32,
            feature_dims=(64, 128, 128),
        ),
    }
)
"""``depth-pro`` is the published network; ``nano`` has the same shape at a size that any machine runs."""
