"""Where the published ``depth-pro`` weights are on this machine, and how they get there."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from stream.errors import WeightsError, one_line

log = logging.getLogger(__name__)

CACHE_VARIABLE = "DEPTH_PRO_CACHE"
HUB_FILES = (("apple/DepthPro-hf", "model.safetensors"), ("apple/DepthPro", "depth_pro.pt"))
FILE_NAMES = ("depth_pro.pt", "model.safetensors")


def cache_dir() -> Path:
    """The folder searched for weights: ``DEPTH_PRO_CACHE``, or the platform's cache folder for this program."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "depth-pro-stream"


def find() -> Path | None:
    """The published weights on this machine: in :func:`cache_dir`, else in the Hugging Face cache."""
    for name in FILE_NAMES:
        path = cache_dir() / name
        if path.is_file():
            return path

    from huggingface_hub import try_to_load_from_cache  # here: only who needs weights pays for the import

    for repository, name in HUB_FILES:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def download() -> Path:
    """Download the published weights, saying first how large they are and whose. Resumes where it was broken off.

    They go to ``DEPTH_PRO_CACHE`` where that is set, else to the Hugging Face cache, which other programs share.

    Raises:
        WeightsError: no network, or no room.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    repository, name = HUB_FILES[0]
    target = cache_dir() if os.environ.get(CACHE_VARIABLE) else None
    try:
        size = get_hf_file_metadata(hf_hub_url(repository, name)).size
        log.warning(
            "downloading %s of %s (%s) to %s. Apple's licence (apple-amlr: research use), not this program's: "
            "https://huggingface.co/%s",
            name,
            repository,
            f"{size / 1e9:.1f} GB" if size else "some gigabytes",
            target or "the Hugging Face cache",
            repository,
        )
        return Path(hf_hub_download(repository, name, local_dir=target))
    except Exception as exc:  # the hub client's errors come from several HTTP libraries, by version
        reason = one_line(exc)[:160] or type(exc).__name__
        raise WeightsError(
            f"the depth-pro weights are not on this machine and cannot be downloaded ({reason}); put "
            f"{FILE_NAMES[0]} from https://huggingface.co/{HUB_FILES[1][0]} or {name} from "
            f"https://huggingface.co/{repository} into {cache_dir()}, or use `model=nano`, which needs no download"
        ) from exc
