"""A lesson: the labelled eigenpatches of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.reucid.classifier import features, normalise, prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.reucid.classifier_file import Weights


@dataclass(frozen=True, eq=False)
class Lesson:
    """Eigenpatches of one image, with the utility that the classifier should give them.

    Attributes
    ----------
    image : str
        Name of the image.  Held-out images are those of another name.
    eigenpatches : (k, p, p) float32 array
        Of unit norm, as for the image scanned along rows.
    singular_values : (k,) array
    noise_floor : float
        Singular value of pure white noise.
    utilities : (k,) array
        0 to 1; above the threshold of the classifier, the eigenpatch is worth keeping.
    weights : (k,) array
        How much each label counts, at least 0.
    """

    image: str
    eigenpatches: NDArray[np.float32]
    singular_values: NDArray[np.floating[Any]]
    noise_floor: float
    utilities: NDArray[np.floating[Any]]
    weights: NDArray[np.floating[Any]]

    def seen(self, weights: Weights) -> NDArray[np.float32]:
        """Return what the dense layers see of the eigenpatches, also mirrored and negated.

        Parameters
        ----------
        weights : dict of arrays
            Weights of the classifier.

        Returns
        -------
        (8, k, 16) float32 array
            Mirrored in four ways, each with both signs.  They are not rotated: scan noise has a
            direction.
        """
        patches = prepare(self.eigenpatches)
        values = normalise(self.singular_values, self.noise_floor)
        mirrored = (patches[:, ::y, ::x] for y in (1, -1) for x in (1, -1))
        found = [features(np.ascontiguousarray(each), values, weights) for each in mirrored]
        return np.concatenate(found).reshape(8, len(values), -1)
