"""Simulated sample images with ground truth; nothing is downloaded.

Each function returns the noisy image or images first and the noise-free image last, except for
`camera_frames`, which yields noisy frames without end.
"""

from __future__ import annotations

from .beamsplitter import Beamsplitter, beamsplitter_frame, beamsplitter_movie
from .camera import camera_frames
from .chloroplasts import FRAMES_PER_SECOND
from .nuclei import nuclei_pair
from .stem import PIXEL_SIZE, Defect, defects, stem_low_dose, stem_pair

__all__ = [
    "FRAMES_PER_SECOND",
    "PIXEL_SIZE",
    "Beamsplitter",
    "Defect",
    "beamsplitter_frame",
    "beamsplitter_movie",
    "camera_frames",
    "defects",
    "nuclei_pair",
    "stem_low_dose",
    "stem_pair",
]
