"""Specimens for the training of the classifier: noise-free images.

STEM images are simulated with abTEM from the models in `training.structures`.  Light-microscopy
scenes are drawn by `training.light`.  Nothing is downloaded.

``python -m training.specimens [names]`` simulates the specimens that are missing in
``training/cache``, which takes about ten minutes on one core for all of them.

A STEM specimen is a periodic cell.  Its scan is computed once, with the coarsest step that the
probe allows, and sampled on any pixel grid by band-limited interpolation.  The intensity is the
fraction of the incident beam that reaches the annular detector.  The expected number of electrons
in a pixel is therefore ``dose [e-/A^2] * pixel_size**2 [A^2] * image``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from scipy.ndimage import map_coordinates

from training import light

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE = Path(__file__).parent / "cache"

Kind = Literal["crystal", "monolayer", "interface", "particle", "film", "light"]


@dataclass(frozen=True)
class Specimen:
    """A noise-free image.

    Attributes
    ----------
    name : str
        Key in `SPECIMENS`.
    image : (Y, X) float32 array
        STEM: fraction of the beam on the detector.  Light: 0 to 1.
    pixel_size : float
        Angstrom.
    kind : str
        'crystal', 'monolayer', 'interface', 'particle', 'film' or 'light'.
    """

    name: str
    image: NDArray[np.float32]
    pixel_size: float
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Stem:
    """Parameters of the simulation and scan of a STEM specimen.

    Attributes
    ----------
    kind : str
        Kind of specimen, as in `Specimen`.
    what : str
        Description of the specimen.
    model : str
        Name of the function in `training.structures`.
    energy : float
        Beam energy, keV.
    convergence : float
        Convergence semi-angle, mrad.
    detector : (float, float)
        Inner and outer angle, mrad; the outer is limited by the sampling of the simulation.
    pixel_size : float
        Pixel size of the image, angstrom.
    shape : (int, int)
        Height and width of the image, pixels.
    rotation : float
        Rotation of the scan relative to the cell, degrees.
    origin : (float, float)
        Start (x, y) of the scan in the cell, angstrom.
    source_size : float
        Standard deviation of the source image on the specimen, angstrom.
    period : (float, float), optional
        Extent (x, y) of the cell to compute, angstrom; the whole cell by default.
    interpolation : (int, int), optional
        PRISM interpolation; None for multislice, which is faster for few positions.
    phonons : int
        Number of frozen phonon configurations.
    displacement : float
        Standard deviation of the atomic displacements per axis, angstrom.
    slice_thickness, sampling : float
        Slice thickness and sampling of the potential, angstrom.
    """

    kind: Kind
    what: str
    model: str
    energy: float = 200.0
    convergence: float = 22.0
    detector: tuple[float, float] = (60.0, 200.0)
    pixel_size: float
    shape: tuple[int, int] = (384, 384)
    rotation: float = 0.0
    origin: tuple[float, float] = (0.3, 0.2)
    source_size: float = 0.35
    period: tuple[float, float] | None = None
    interpolation: tuple[int, int] | None = None
    phonons: int = 1
    displacement: float = 0.08
    slice_thickness: float = 2.0
    sampling: float = 0.085

    def scan(self) -> Scan:
        """Simulate the scan of one period, which can take minutes."""
        import abtem

        from training import structures

        settings = {"diagnostics.progress_bar": False, "dask.chunk-size": "128 MB"}
        with abtem.config.set(settings | {"precision": "float32"}):
            model: Any = getattr(structures, self.model)()
            model = getattr(model, "atoms", model)
            extent = self.period or tuple(np.diag(model.cell)[:2])
            wavelength = abtem.core.energy.energy2wavelength(self.energy * 1e3)
            # The finest period in an incoherent image is lambda / (2 alpha): sample it twice
            step = 0.9 * wavelength / (4 * self.convergence * 1e-3)
            points = tuple(2 * int(np.ceil(length / step / 2)) for length in extent)
            carried = 1e3 * wavelength / (3 * self.sampling) * 0.96
            detector = abtem.AnnularDetector(
                self.detector[0], float(np.floor(min(self.detector[1], carried)))
            )
            atoms = abtem.FrozenPhonons(
                model, num_configs=self.phonons, sigmas=self.displacement, seed=1
            )
            potential = abtem.Potential(
                atoms,
                sampling=self.sampling,
                slice_thickness=self.slice_thickness,
                projection="infinite",
            )
            grid = abtem.GridScan(start=(0, 0), end=extent, gpts=points, endpoint=False)
            beam = {"energy": self.energy * 1e3, "semiangle_cutoff": self.convergence}
            if self.interpolation is None:
                probe = abtem.Probe(**beam)
                probe.grid.match(potential)
                measured = probe.scan(potential, scan=grid, detectors=detector)
            else:
                waves = abtem.SMatrix(potential=potential, interpolation=self.interpolation, **beam)
                measured = waves.scan(scan=grid, detectors=detector)
            measured = measured.compute(scheduler="single-threaded")
            if isinstance(measured, list):
                measured = measured[0]
            values = np.asarray(measured.array, np.float64)
        while values.ndim > 2:
            values = values.mean(0)
        return Scan(values.astype(np.float32), (float(extent[0]), float(extent[1])))

    def image(self, scan: Scan) -> NDArray[np.float32]:
        """Sample the image from a scan, with the finite source size."""
        return scan.read(
            self.pixel_size,
            self.shape,
            rotation=self.rotation,
            origin=self.origin,
            source_size=self.source_size,
        )


@dataclass(frozen=True)
class Scan:
    """One period of a periodic image: values (x, y) over an extent (x, y) in angstrom."""

    values: NDArray[np.float32]
    extent: tuple[float, float]

    def read(
        self,
        pixel_size: float,
        shape: tuple[int, int],
        *,
        rotation: float = 0.0,
        origin: tuple[float, float] = (0.0, 0.0),
        source_size: float = 0.35,
    ) -> NDArray[np.float32]:
        """Evaluate the periodic image on a rotated pixel grid; image columns run along x."""
        fine = self._refined(source_size)
        row, column = np.indices(shape) * pixel_size
        angle = np.deg2rad(rotation)
        x = origin[0] + np.cos(angle) * column - np.sin(angle) * row
        y = origin[1] + np.sin(angle) * column + np.cos(angle) * row
        where = [x / self.extent[0] * fine.shape[0], y / self.extent[1] * fine.shape[1]]
        image = map_coordinates(fine, where, order=3, mode="grid-wrap")
        return np.clip(image, 0, None).astype(np.float32)

    def _refined(self, source_size: float) -> NDArray[np.float64]:
        """Blur by the source and refine to steps of at most 0.06 angstrom, in Fourier space."""
        n, m = self.values.shape
        kx = np.fft.fftfreq(n, self.extent[0] / n)[:, None]
        ky = np.fft.fftfreq(m, self.extent[1] / m)
        spectrum = np.fft.fft2(self.values)
        spectrum *= np.exp(-2 * np.pi**2 * source_size**2 * (kx**2 + ky**2))
        factor = max(1, int(np.ceil(max(self.extent[0] / n, self.extent[1] / m) / 0.06)))
        wide = np.zeros((n * factor, m * factor), complex)
        x, y = (factor - 1) * n // 2, (factor - 1) * m // 2
        wide[x : x + n, y : y + m] = np.fft.fftshift(spectrum)
        return cast("NDArray[np.float64]", np.fft.ifft2(np.fft.ifftshift(wide)).real * factor**2)


@dataclass(frozen=True, kw_only=True)
class Light:
    """A light-microscopy scene, drawn by a function of `training.light` with a fixed seed."""

    what: str
    draw: Callable[..., NDArray[np.float32]]
    seed: int
    psf_sigma: float
    background: float = 0.0
    shape: tuple[int, int] = (384, 384)
    pixel_size: float = 1000.0
    kind: Kind = "light"


STEM: dict[str, Stem] = {
    "mos2_defects": Stem(
        kind="monolayer",
        what="monolayer 2H-MoS2 with vacancies and W, V and Se dopants, 80 kV ADF",
        model="molybdenum_disulfide_with_defects",
        energy=80, convergence=30, detector=(60, 180), pixel_size=0.12, shape=(256, 256),
        origin=(1.2, 0.8), interpolation=(3, 3), displacement=0.06, sampling=0.08,
    ),
    "si_110": Stem(
        kind="crystal",
        what="Si along [110], 6 nm, 200 kV HAADF",
        model="silicon_110",
        convergence=24, detector=(70, 200), pixel_size=0.1, rotation=11.0,
        period=(5.431 / 2**0.5, 5.431), phonons=2, displacement=0.076, slice_thickness=1.92,
        source_size=0.3,
    ),
    "sto_001": Stem(
        kind="crystal",
        what="SrTiO3 along [001], 6 nm, 200 kV HAADF",
        model="strontium_titanate_001",
        detector=(70, 200), pixel_size=0.14, rotation=-7.5, period=(3.905, 3.905),
        phonons=2, slice_thickness=1.9525,
    ),
    "graphene_defects": Stem(
        kind="monolayer",
        what="graphene with N, B, Si, vacancies and a bond rotation, 80 kV MAADF",
        model="graphene_with_defects",
        energy=80, convergence=32, detector=(54, 190), pixel_size=0.11, rotation=4.0,
        interpolation=(4, 4), displacement=0.06, sampling=0.09,
    ),
    "ba_nd_ti_oxide": Stem(
        kind="crystal",
        what="Ba-Nd-Ti oxide (tungsten bronze approximant) along [001], 4.7 nm, 200 kV HAADF",
        model="barium_neodymium_titanate",
        detector=(65, 200), pixel_size=0.18, rotation=5.0, slice_thickness=3.9,
        interpolation=None,
    ),
    "atoms_on_carbon": Stem(
        kind="film",
        what="single Pt atoms and clusters on 1.4 nm of amorphous carbon, 200 kV HAADF",
        model="atoms_on_carbon",
        convergence=25, pixel_size=0.11, interpolation=(4, 4), slice_thickness=4.0,
        sampling=0.09,
    ),
    "si_twins": Stem(
        kind="interface",
        what="Si along [110] with {111} twins and a stacking fault, scan turned, 200 kV HAADF",
        model="silicon_twins",
        convergence=24, pixel_size=0.09, rotation=33.0, origin=(0.5, 5.0), source_size=0.3,
        interpolation=(1, 3), slice_thickness=3.84, displacement=0.076,
    ),
    "mose2_twins": Stem(
        kind="monolayer",
        what="monolayer 2H-MoSe2 with mirror twin boundaries, Se vacancies and W, 60 kV HAADF",
        model="molybdenum_diselenide_twins",
        energy=60, convergence=32, detector=(65, 180), pixel_size=0.13, rotation=-14.0,
        origin=(0.0, 9.0), interpolation=(4, 4), displacement=0.06, sampling=0.095,
    ),
    "gan_1120": Stem(
        kind="crystal",
        what="wurtzite GaN along [11-20], 5 nm, 200 kV ADF",
        model="gallium_nitride_1120",
        convergence=27, detector=(45, 180), pixel_size=0.08, rotation=-3.0,
        period=(3.189 * 3**0.5, 5.185), phonons=2, displacement=0.07, slice_thickness=3.189,
        source_size=0.25,
    ),
    "pt_on_carbon": Stem(
        kind="particle",
        what="Pt icosahedron and truncated octahedron on amorphous carbon, 200 kV HAADF",
        model="platinum_on_carbon",
        convergence=25, pixel_size=0.125, shape=(336, 336), interpolation=(4, 4),
        slice_thickness=3.5, displacement=0.09, sampling=0.09,
    ),
    "lao_sto": Stem(
        kind="interface",
        what="(LaAlO3)4/(SrTiO3)6 superlattice along [010], 3.1 nm, 300 kV HAADF",
        model="lanthanum_strontium_superlattice",
        energy=300, convergence=20, detector=(55, 180), pixel_size=0.15, rotation=2.0,
        interpolation=(3, 1), slice_thickness=3.905,
    ),
    "cu_sigma5": Stem(
        kind="interface",
        what="Cu along [001] with sigma-5 (310) tilt boundaries, 3.6 nm, 200 kV HAADF",
        model="copper_sigma5",
        pixel_size=0.12, rotation=21.0, origin=(0.0, 4.0), interpolation=(1, 3),
        slice_thickness=3.61,
    ),
    "mowse2_alloy": Stem(
        kind="monolayer",
        what="monolayer (Mo,W)Se2 alloy with Se vacancies and S on Se, 80 kV HAADF",
        model="molybdenum_tungsten_diselenide",
        energy=80, convergence=25, detector=(60, 180), pixel_size=0.1, rotation=0.0,
        interpolation=(4, 4), displacement=0.06, sampling=0.09, source_size=0.4,
    ),
    "al_cu_zones": Stem(
        kind="interface",
        what="Al along [001] with Cu platelets (Guinier-Preston zones), 2.4 nm, 200 kV HAADF",
        model="aluminium_copper_zones",
        convergence=18, detector=(50, 180), pixel_size=0.2, shape=(256, 256),
        interpolation=(4, 4), slice_thickness=4.05, displacement=0.1, sampling=0.09,
    ),
    "sto_001_abf": Stem(
        kind="crystal",
        what="SrTiO3 along [001], 6 nm, 200 kV annular bright field (dark columns)",
        model="strontium_titanate_001",
        detector=(11, 22), pixel_size=0.11, rotation=8.0, period=(3.905, 3.905),
        slice_thickness=1.9525,
    ),
}  # fmt: skip

LIGHT: dict[str, Light] = {
    "light_nuclei": Light(
        what="textured, overlapping nuclei on an uneven background",
        draw=light.nuclei, seed=1, psf_sigma=2.0, background=0.15,
    ),
    "light_nuclei_fine": Light(
        what="many small nuclei on a dark background",
        draw=light.nuclei, seed=2, psf_sigma=1.2,
    ),
    "light_filaments": Light(
        what="curved, branching filaments",
        draw=light.filaments, seed=3, psf_sigma=1.5, background=0.05,
    ),
    "light_filaments_blurred": Light(
        what="filaments under a wide PSF on an uneven background",
        draw=light.filaments, seed=4, psf_sigma=3.0, background=0.2,
    ),
    "light_puncta": Light(
        what="puncta over a diffuse background",
        draw=light.puncta, seed=5, psf_sigma=1.6, background=0.15,
    ),
    "light_puncta_wide": Light(
        what="puncta under a wide PSF",
        draw=light.puncta, seed=6, psf_sigma=4.0, background=0.05,
    ),
    "light_cells": Light(
        what="cells with membranes, nuclei and vesicles",
        draw=light.cells, seed=7, psf_sigma=1.8, background=0.1,
    ),
}  # fmt: skip

SPECIMENS: dict[str, Stem | Light] = {**STEM, **LIGHT}


def specimen(name: str) -> Specimen:
    """Return a specimen, and simulate it if it is not in the cache.

    Parameters
    ----------
    name : str
        A key of `SPECIMENS`.

    Returns
    -------
    Specimen

    Raises
    ------
    ValueError
        If there is no such specimen.
    """
    if name not in SPECIMENS:
        raise ValueError(f"There is no specimen {name!r}; choose one of {', '.join(SPECIMENS)}.")
    recipe = SPECIMENS[name]
    if isinstance(recipe, Light):
        rng = np.random.default_rng(recipe.seed)
        image = recipe.draw(
            rng, recipe.shape, psf_sigma=recipe.psf_sigma, background=recipe.background
        )
    else:
        image = recipe.image(scan(name))
    return Specimen(name, image, recipe.pixel_size, recipe.kind)


def scan(name: str) -> Scan:
    """Return the simulated scan of a STEM specimen, from the cache if possible."""
    path = CACHE / f"{name}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Scan(kept["values"], (float(kept["extent"][0]), float(kept["extent"][1])))
    computed = STEM[name].scan()
    CACHE.mkdir(exist_ok=True)
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(partial, values=computed.values, extent=computed.extent)
    partial.replace(path)  # atomic, as several processes may use the cache
    return computed


def cached_names() -> list[str]:
    """Return the specimens that need no simulation: those in the cache, and the light scenes."""
    return [name for name in SPECIMENS if name in LIGHT or (CACHE / f"{name}.npz").exists()]


def main(arguments: list[str] | None = None) -> None:
    """Simulate the named specimens, or all, and print the CPU time."""
    parser = argparse.ArgumentParser(description="Simulate the specimens of the training set.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(SPECIMENS)}"
    )
    chosen = parser.parse_args(arguments)
    for name in chosen.names or SPECIMENS:
        start = time.process_time()
        made = specimen(name)
        low, high = made.image.min(), made.image.max()
        print(
            f"{name:24} {made.kind:10} {made.image.shape} {made.pixel_size:g} A/px "
            f"{low:.3g}..{high:.3g} {time.process_time() - start:.0f} s CPU",
            flush=True,
        )


if __name__ == "__main__":
    main()
