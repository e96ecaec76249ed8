"""How good a network's depth is, on pictures and videos whose depth is known. ``python -m model.evaluate``."""

from model.evaluation.report import PictureFigures, Report, Summary
from model.evaluation.run import MAX_DEPTH_M, Outcome, evaluate
from model.evaluation.sample import Sample

__all__ = ["MAX_DEPTH_M", "Outcome", "PictureFigures", "Report", "Sample", "Summary", "evaluate"]
