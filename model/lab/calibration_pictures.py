"""``python -m model.lab.calibration_pictures``: renders the pictures that 8-bit products are calibrated with."""

from __future__ import annotations

import cv2
import numpy as np

from model.engine.calibration import FOLDER
from model.lab import scenes

SEEDS = (3, 1, 7, 5)  # a room, a street, open ground, a table: seeds that training draws from too
SIDE = 384


def main() -> None:
    """Write one JPEG for each seed, squeezed to a square as the network sees it."""
    FOLDER.mkdir(exist_ok=True)
    for seed in SEEDS:
        still = scenes.still(seed, long_side=512, samples=2)
        square = cv2.resize(still.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        path = FOLDER / f"{still.kind}_{seed}.jpg"
        path.write_bytes(
            np.asarray(cv2.imencode(".jpg", square[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]).tobytes()
        )
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
