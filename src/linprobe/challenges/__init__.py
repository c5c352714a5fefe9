"""The challenges of recognition: seeded changes of test images, and what they cost a classifier.

Six of them, as the lecture names them. Five change the pictures, in severities 0..5 that mean the same for pictures
of every size; the sixth, intraclass variation, uses the unchanged pictures.
"""

from __future__ import annotations

from linprobe.challenges.base import SEVERITIES, Challenge, Kind
from linprobe.challenges.clutter import Clutter
from linprobe.challenges.deformation import Deformation
from linprobe.challenges.illumination import Illumination
from linprobe.challenges.occlusion import Occlusion
from linprobe.challenges.table import CHALLENGES, ChallengeTable, choose, run_challenges
from linprobe.challenges.viewpoint import Viewpoint

__all__ = [
    "CHALLENGES",
    "SEVERITIES",
    "Challenge",
    "ChallengeTable",
    "Clutter",
    "Deformation",
    "Illumination",
    "Kind",
    "Occlusion",
    "Viewpoint",
    "choose",
    "run_challenges",
]
