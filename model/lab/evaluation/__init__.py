"""How good a network's depth is, on pictures and videos whose depth is known. ``python -m model.lab.evaluation``."""

from model.lab.evaluation.report import PictureFigures, Report, Summary
from model.lab.evaluation.run import MAX_DEPTH_M, Outcome, evaluate
from model.lab.evaluation.sample import Sample

__all__ = ["MAX_DEPTH_M", "Outcome", "PictureFigures", "Report", "Sample", "Summary", "evaluate"]
