"""Atomic models of the specimens for the STEM simulation.

Every function returns an `ase.Atoms` in an orthogonal, periodic cell with the beam along z; lengths
are in angstrom.  `Marked` models include a list of their point defects.  The models are plausible,
but not relaxed from first principles: the training needs images with realistic features, not
energies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.build import bulk, graphene, mx2
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron, Octahedron
from ase.geometry import get_distances
from ase.optimize import FIRE
from ase.spacegroup import crystal


@dataclass
class Marked:
    """A model and its point defects, each (kind, x, y) with positions in angstrom."""

    atoms: Atoms
    defects: list[tuple[str, float, float]] = field(default_factory=list)


def silicon_110() -> Atoms:
    """Si along [110], 6.1 nm thick; x = [1-10], y = [001]; one period is (3.84, 5.431)."""
    a = 5.431
    d = a / np.sqrt(2)
    positions = [(0, 0, 0), (d / 2, a / 2, d / 2), (d / 2, a / 4, 0), (0, 3 * a / 4, d / 2)]
    return Atoms("Si4", positions=positions, cell=(d, a, d), pbc=True) * (3, 2, 16)


def strontium_titanate_001() -> Atoms:
    """SrTiO3 along [001], 6.2 nm thick; one period is (3.905, 3.905)."""
    return perovskite("Sr", "Ti") * (3, 3, 16)


def perovskite(a_site: str, b_site: str, a: float = 3.905) -> Atoms:
    """One cubic perovskite cell with the A site at the corner."""
    fractions = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0)]
    return Atoms(
        [a_site, b_site, "O", "O", "O"], scaled_positions=fractions, cell=(a, a, a), pbc=True
    )


def barium_neodymium_titanate() -> Atoms:
    """Ba-Nd-Ti oxide along [001], 4.7 nm thick: an ordered approximant.

    The dielectric ceramics around BaNd2Ti5O14 are tungsten bronzes whose true
    cell (about 12.2 x 22.3 angstrom) joins perovskite blocks by pentagonal
    channels.  This is the simpler tetragonal tungsten bronze (P4/mbm, 12.3
    angstrom) with the same motifs: Ba in the pentagonal channels, Nd in the
    square ones, Ti in corner-sharing octahedra.
    """
    basis = [
        (0, 0.5, 0.5), (0.0745, 0.2125, 0.5), (0, 0, 0), (0.1725, 0.6725, 0),
        (0.343, 0.0053, 0.5), (0.139, 0.069, 0.5), (0.279, 0.779, 0), (0, 0.5, 0),
        (0.079, 0.204, 0),
    ]  # fmt: skip
    symbols = ["Ti", "Ti", "Nd", "Ba", "O", "O", "O", "O", "O"]
    cell = [12.3, 12.3, 3.9, 90, 90, 90]
    unit = crystal(symbols, basis, spacegroup=127, cellpar=cell)
    return Atoms(unit.symbols, positions=unit.positions, cell=unit.cell, pbc=True) * (1, 1, 12)


def gallium_nitride_1120() -> Atoms:
    """Wurtzite GaN along [11-20], 5.1 nm thick; x = [1-100], y = [0001]; period (5.523, 5.185)."""
    a, c, u = 3.189, 5.185, 0.377
    b = a * np.sqrt(3)
    gallium = np.array([(0, 0, 0), (b / 2, 0, a / 2), (b / 6, c / 2, a / 2), (2 * b / 3, c / 2, 0)])
    positions = np.vstack([gallium, gallium + np.array([0, u * c, 0])])
    return Atoms("Ga4N4", positions=positions, cell=(b, c, a), pbc=True) * (2, 2, 16)


def silicon_twins() -> Atoms:
    """Si along [110] with {111} twin boundaries and a stacking fault, 4.6 nm thick.

    Double layers are stacked along y.  Each is shifted along x by a third of the period, in one
    direction in the matrix and in the other in the twin.
    """
    a = 5.431
    d, period, spacing = a / np.sqrt(2), a * np.sqrt(6) / 2, a / np.sqrt(3)
    shifts = [1, 1, -1, 1, 1, 1, -1, -1, -1, -1, -1, 1]  # the single -1 is a stacking fault
    positions = []
    for layer, shift in enumerate(np.cumsum(shifts)):
        for half in range(2):
            x = (shift * period / 3 + half * period / 2) % period
            for y in (layer * spacing, layer * spacing + a * np.sqrt(3) / 4):
                positions.append((x, y, half * d / 2))
    cell = (period, len(shifts) * spacing, d)
    return Atoms(f"Si{len(positions)}", positions=positions, cell=cell, pbc=True) * (2, 1, 12)


def copper_sigma5() -> Atoms:
    """Cu along [001] with two symmetric sigma-5 (310) tilt boundaries, relaxed with EMT.

    The grains are mirror images.  Atoms that are too close together at the mirror plane are merged,
    then the structure is relaxed with effective medium theory.
    """
    a = 3.61
    period = a * np.sqrt(10) / 2
    half = 4 * period
    grid = np.mgrid[-40:41, -40:41, 0:2].reshape(3, -1).T
    lattice = grid[grid.sum(1) % 2 == 0] * a / 2
    x = (-lattice[:, 0] + 3 * lattice[:, 1]) / np.sqrt(10)
    y = (3 * lattice[:, 0] + lattice[:, 1]) / np.sqrt(10)
    inside = (x > -1e-6) & (x < period - 1e-6) & (y > -1e-6) & (y < half + 1e-6)
    grain = np.stack([x, y, lattice[:, 2]], 1)[inside]
    both = np.vstack([grain, grain * (1, -1, 1) + (0, 2 * half, 0)])
    atoms = Atoms(f"Cu{len(both)}", positions=both, cell=(period, 2 * half, a), pbc=True)
    atoms = _merged(atoms, 0.75 * a / np.sqrt(2)) * (3, 1, 1)
    atoms = atoms * (1, 1, 2)  # EMT needs a few neighbours in every direction
    atoms.calc = EMT()
    FIRE(atoms, logfile=None).run(fmax=0.05, steps=120)
    atoms.calc = None
    return atoms * (1, 1, 5)


def _merged(atoms: Atoms, closer_than: float) -> Atoms:
    """Replace each pair of atoms that are closer than a distance by one atom halfway between."""
    while True:
        vectors, lengths = get_distances(atoms.positions, cell=atoms.cell, pbc=True)
        np.fill_diagonal(lengths, np.inf)
        i, j = np.unravel_index(np.argmin(lengths), lengths.shape)
        if lengths[i, j] > closer_than:
            atoms.wrap()
            return atoms
        atoms.positions[i] += vectors[i, j] / 2
        del atoms[int(j)]


def aluminium_copper_zones(seed: int = 5) -> Atoms:
    """Al along [001], 2.4 nm thick, with single-plane Cu platelets (Guinier-Preston zones).

    One platelet is on (100), one on (010), and neighbouring planes relax towards them.  A few
    solute atoms remain in the matrix.
    """
    rng = np.random.default_rng(seed)
    a, n = 4.05, 10
    atoms = bulk("Al", "fcc", a=a, cubic=True) * (n, n, 6)
    x, y, _ = atoms.positions.T.copy()
    length = n * a
    for across, along, plane, start, axis in ((x, y, 12.15, 6.0, 0), (y, x, 30.375, 18.0, 1)):
        within = (along > start) & (along < start + 15)
        atoms.symbols[within & (abs(across - plane) < 0.1)] = "Cu"
        distance = (across - plane + length / 2) % length - length / 2
        lean = -0.25 * np.sign(distance) * np.exp(-np.abs(distance) / 3)
        lean[np.abs(distance) < 0.1] = 0
        atoms.positions[within, axis] += lean[within]
    solute = rng.choice(len(atoms), 12, replace=False)
    atoms.symbols[solute] = "Cu"
    return atoms


def lanthanum_strontium_superlattice(seed: int = 6) -> Atoms:
    """(LaAlO3)4/(SrTiO3)6 along a perovskite axis, 3.1 nm thick, interfaces mixed by a quarter."""
    rng = np.random.default_rng(seed)
    a, lanthanum, strontium = 3.905, 4, 6
    atoms = perovskite("Sr", "Ti", a) * (lanthanum + strontium, 3, 8)
    cell_of = np.floor(atoms.positions[:, 0] / a + 1e-6).astype(int)
    share = np.where(cell_of < lanthanum, 1.0, 0.0)
    share[(cell_of == 0) | (cell_of == lanthanum - 1)] = 0.75
    share[(cell_of == lanthanum) | (cell_of == lanthanum + strontium - 1)] = 0.25
    swap = rng.random(len(atoms)) < share
    symbols = np.array(atoms.get_chemical_symbols(), dtype="<U2")
    symbols[swap & (symbols == "Sr")] = "La"
    symbols[swap & (symbols == "Ti")] = "Al"
    atoms.set_chemical_symbols(list(symbols))
    return atoms


def graphene_with_defects(seed: int = 21) -> Marked:
    """Graphene with N, B and Si substitutions, single vacancies and one 5-7-7-5 bond rotation."""
    rng = np.random.default_rng(seed)
    atoms = orthogonal(graphene("C2", a=2.46, vacuum=3.0), 17, 10)
    defects = _rotate_bond(atoms)
    taken = np.array([defects[0][1:]])
    order = _spread(atoms, rng, list(range(len(atoms))), 16, 4.0, taken)
    kinds = ["N"] * 6 + ["Si"] * 4 + ["B"] * 2 + ["vacancy"] * 4
    return _with_point_defects(atoms, dict(zip(order, kinds, strict=True)), "C", defects)


def _rotate_bond(atoms: Atoms) -> list[tuple[str, float, float]]:
    """Rotate one C-C bond by 90 degrees (Stone-Wales defect) and relax its neighbours."""
    centre = np.array([atoms.cell[0, 0] * 0.68, atoms.cell[1, 1] * 0.3])
    i = int(np.argmin(np.hypot(*(atoms.positions[:, :2] - centre).T)))
    distances = atoms.get_distances(i, range(len(atoms)), mic=True)
    distances[i] = np.inf
    j = int(np.argmin(distances))
    middle = (atoms.positions[i] + atoms.positions[j]) / 2
    arm = (atoms.positions[j] - atoms.positions[i]) * 0.46
    turned = np.array([-arm[1], arm[0], 0])
    atoms.positions[i], atoms.positions[j] = middle - turned, middle + turned
    near = np.flatnonzero(np.hypot(*(atoms.positions[:, :2] - middle[:2]).T) < 9)
    points = atoms.positions[near].copy()
    free = np.hypot(*(atoms.positions[near] - middle)[:, :2].T) < 7
    for _ in range(300):  # a network of springs is accurate enough for an image
        vectors = points[None] - points[:, None]
        lengths = np.linalg.norm(vectors, axis=-1) + np.eye(len(points))
        bonded, second = (lengths > 1.01) & (lengths < 1.8), (lengths > 1.8) & (lengths < 2.9)
        pull = np.where(bonded, 1 - 1.42 / lengths, np.where(second, 0.25 - 0.615 / lengths, 0))
        points[free] += 0.08 * (pull[..., None] * vectors).sum(1)[free]
    atoms.positions[near] = points
    return [("bond rotation", float(middle[0]), float(middle[1]))]


def molybdenum_disulfide_with_defects(seed: int = 4) -> Marked:
    """2H-MoS2 with S, S2 and Mo vacancies and W, V and Se dopants (the shipped sample)."""
    return _dichalcogenide(
        "MoS2", 3.16, 3.17, (11, 6), seed,
        top={"vacancy": 7, "Se": 3}, both={"vacancy": 2}, metal={"W": 4, "V": 2, "vacancy": 1},
    )  # fmt: skip


def molybdenum_tungsten_diselenide(seed: int = 8) -> Marked:
    """2H-(Mo,W)Se2, a random alloy with 40 % W, with Se vacancies and S on Se."""
    tungsten = 34
    return _dichalcogenide(
        "MoSe2", 3.29, 3.34, (12, 7), seed,
        top={"vacancy": 12, "S": 6}, both={"vacancy": 2}, metal={"W": tungsten, "Nb": 3},
        apart=0.0,
    )  # fmt: skip


def _dichalcogenide(
    formula: str, a: float, thickness: float, repeats: tuple[int, int], seed: int, *,
    top: dict[str, int], both: dict[str, int], metal: dict[str, int], apart: float = 3.0,
) -> Marked:  # fmt: skip
    """Put `top` defects on upper chalcogens, `both` on chalcogen pairs, `metal` on metal sites."""
    rng = np.random.default_rng(seed)
    unit = mx2(formula, kind="2H", a=a, thickness=thickness, vacuum=2.0)
    atoms = orthogonal(unit, *repeats)
    symbols = np.array(atoms.get_chemical_symbols())
    metal_symbol, chalcogen = symbols[0], formula[2:-1]
    middle = atoms.positions[symbols == metal_symbol, 2].mean()
    upper = np.flatnonzero((symbols == chalcogen) & (atoms.positions[:, 2] > middle))
    chosen = _spread(atoms, rng, upper, sum(top.values()) + sum(both.values()), apart)
    sites = {i: kind for kind, n in top.items() for i in [chosen.pop() for _ in range(n)]}
    pairs = {}
    for kind, n in both.items():
        for i in [chosen.pop() for _ in range(n)]:
            below = np.hypot(*(atoms.positions[:, :2] - atoms.positions[i, :2]).T) < 0.1
            pairs |= dict.fromkeys(map(int, np.flatnonzero(below)), kind)
    taken = atoms.positions[list(sites | pairs), :2]
    metals = np.flatnonzero(symbols == metal_symbol)
    chosen = _spread(atoms, rng, metals, sum(metal.values()), apart, taken)
    on_metal = {i: kind for kind, n in metal.items() for i in [chosen.pop() for _ in range(n)]}
    marked = _with_point_defects(atoms, on_metal | sites | pairs, "", [])
    doubled = {tuple(atoms.positions[i, :2]) for i in pairs}
    named: dict[tuple[float, float], str] = {}
    for (kind, x, y), i in zip(marked.defects, on_metal | sites | pairs, strict=True):
        site = symbols[i] + ("2" if tuple(atoms.positions[i, :2]) in doubled else "")
        named[x, y] = f"{kind} {site}" if kind == "vacancy" else f"{kind} on {site}"
    return Marked(marked.atoms, [(kind, x, y) for (x, y), kind in named.items()])


def molybdenum_diselenide_twins(seed: int = 10) -> Marked:
    """2H-MoSe2 with two mirror twin boundaries (four-fold rings), Se vacancies and W on Mo.

    Both boundaries run along the zigzag direction x.  One has a chalcogen row on the mirror plane,
    the other a metal row.  The gap at each boundary is widened to keep the bond length.
    """
    rng = np.random.default_rng(seed)
    a, rows, columns, widening = 3.29, 7, 12, 0.45
    b = a * np.sqrt(3)
    sites = [("Se", 0.0, 0.0)]
    for row in range(rows):
        sites.append(("Mo", a / 2 * ((row + 1) % 2), row * b / 2 + b / 6 + widening))
        sites.append(("Se", a / 2 * ((row + 1) % 2), (row + 1) * b / 2 + widening))
    last = sites[-1]
    half = last[2] + b / 6 + widening
    sites.append(("Mo", (last[1] + a / 2) % a, half))
    sites += [(s, x, 2 * half - y) for s, x, y in sites[1:-1]]
    symbols, positions = [], []
    for symbol, x, y in sites:
        for z in (3.33, 6.67) if symbol == "Se" else (5.0,):
            symbols.append(symbol)
            positions.append((x, y, z))
    atoms = Atoms(symbols, positions=positions, cell=(a, 2 * half, 10), pbc=True) * (columns, 1, 1)
    names = np.array(atoms.get_chemical_symbols())
    upper = np.flatnonzero((names == "Se") & (atoms.positions[:, 2] > 5))
    changes = dict.fromkeys(_spread(atoms, rng, upper, 9, 3.0), "vacancy")
    changes |= dict.fromkeys(_spread(atoms, rng, np.flatnonzero(names == "Mo"), 5, 3.0), "W")
    return _with_point_defects(atoms, changes, "", [])


def platinum_on_carbon(seed: int = 11) -> Atoms:
    """A Pt icosahedron and a small truncated octahedron on 0.8 nm of amorphous carbon."""
    box, film = 42.0, 8.0
    big = Icosahedron("Pt", 5)
    big.rotate(31.7, "x")
    big.rotate(23, "z")
    small = Octahedron("Pt", 6, 2)
    small.rotate(45, "z")
    small.rotate(90, "x")
    small.rotate(40, "z")
    atoms = amorphous_carbon(box, film, seed)
    for particle, (x, y) in ((big, (17.5, 23.5)), (small, (33.0, 10.0))):
        positions = particle.positions - particle.positions.mean(0)
        positions += (x, y, film + 0.5 - positions[:, 2].min())
        atoms += Atoms(particle.symbols, positions=positions)
    return _in_box(atoms, box)


def atoms_on_carbon(seed: int = 12) -> Atoms:
    """Single Pt atoms, dimers and clusters of 13 to 40 atoms on 1.4 nm of amorphous carbon."""
    rng = np.random.default_rng(seed)
    box, film = 42.0, 14.0
    atoms = amorphous_carbon(box, film, seed)
    singles = rng.uniform(0, box, (34, 2))
    heights = film + rng.uniform(0.5, 1.5, len(singles))
    atoms += Atoms(f"Pt{len(singles)}", positions=np.column_stack([singles, heights]))
    for x, y, n in [*((*p, 2) for p in rng.uniform(0, box, (6, 2))), (9, 31, 13), (30, 33, 13),
                    (31, 12, 38), (12, 9, 20)]:  # fmt: skip
        ball = bulk("Pt", cubic=True) * (4, 4, 4)
        ball.rotate(rng.uniform(0, 360), rng.normal(size=3), center="COP")
        offset = ball.positions - ball.positions.mean(0) - rng.uniform(-1, 1, 3)
        offset = offset[np.argsort((offset**2).sum(1))[: int(n)]]
        offset += (x, y, film + 0.5 - offset[:, 2].min())
        atoms += Atoms(f"Pt{len(offset)}", positions=offset)
    return _in_box(atoms, box)


def amorphous_carbon(box: float, thickness: float, seed: int) -> Atoms:
    """Random carbon, 0.09 atoms per cubic angstrom, no two closer than 1.35 angstrom."""
    rng = np.random.default_rng(seed)
    points = np.empty((int(0.09 * box**2 * thickness), 3))
    size = np.array([box, box, thickness])
    placed = 0
    while placed < len(points):
        point = rng.random(3) * size
        apart = point - points[:placed]
        apart[:, :2] -= box * np.round(apart[:, :2] / box)
        if placed == 0 or (apart**2).sum(1).min() > 1.35**2:
            points[placed] = point
            placed += 1
    return Atoms(f"C{placed}", positions=points, cell=size, pbc=True)


def _in_box(atoms: Atoms, box: float) -> Atoms:
    """Add a cell with 2 angstrom of vacuum above and below, and wrap the atoms in x and y."""
    atoms.positions[:, :2] %= box
    atoms.positions[:, 2] += 2 - atoms.positions[:, 2].min()
    atoms.cell = (box, box, atoms.positions[:, 2].max() + 2)
    atoms.pbc = True
    return atoms


def orthogonal(primitive: Atoms, columns: int, rows: int) -> Atoms:
    """Repeat a hexagonal layer in its rectangular cell, with 3 angstrom of vacuum on each side."""
    wide = primitive.copy()
    wide.pbc = True
    a = wide.cell[0, 0]
    wide = wide * (2, 2, 1)
    wide.set_cell([a, a * np.sqrt(3), 1], scale_atoms=False)
    wide.cell[2, 2] = primitive.cell[2, 2] or 6.0
    wide.wrap()
    distances = wide.get_all_distances(mic=True)
    first = [i for i in range(len(wide)) if not (distances[i, :i] < 0.1).any()]
    layer = wide[first] * (columns, rows, 1)
    layer.center(vacuum=3.0, axis=2)
    return layer


def _spread(
    atoms: Atoms,
    rng: np.random.Generator,
    candidates: list[int] | np.ndarray,
    n: int,
    apart: float,
    taken: np.ndarray | None = None,
) -> list[int]:
    """Draw `n` atoms, each at least `apart` from the others and from the `taken` points (x, y)."""
    size = np.diag(atoms.cell)[:2]
    chosen: list[int] = []
    near = [] if taken is None else [np.asarray(p) for p in taken]
    for i in rng.permutation(candidates):
        point = atoms.positions[i, :2]
        gaps = [point - p - size * np.round((point - p) / size) for p in near]
        if all(np.hypot(*gap) >= apart for gap in gaps):
            chosen.append(int(i))
            near.append(point)
        if len(chosen) == n:
            return chosen
    raise ValueError(f"Only {len(chosen)} of {n} defects fit {apart} angstrom apart.")


def _with_point_defects(
    atoms: Atoms, changes: dict[int, str], site: str, defects: list[tuple[str, float, float]]
) -> Marked:
    """Substitute or remove atoms: `changes` maps an atom to a symbol or to 'vacancy'."""
    changed = atoms.copy()
    defects = list(defects)
    for i, kind in changes.items():
        x, y = atoms.positions[i, :2]
        defects.append((f"{kind} {site}".strip(), float(x), float(y)))
        if kind != "vacancy":
            changed.symbols[i] = kind
    del changed[[i for i, kind in changes.items() if kind == "vacancy"]]
    return Marked(changed, defects)
