"""The layout of a camera frame in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_lowdose.pairs.split_layout import SplitLayout

MIRRORED = {None: "not mirrored", "x": "mirrored left to right", "y": "mirrored top to bottom"}


def describe_layout(layout: SplitLayout, layer: Image) -> str:
    """Return the layout as text, with the shift in pixels and in the units of the layer."""
    (dy, dx), (ey, ex) = layout.shift, layout.shift_error
    # Three decimals, as in the shift field of the pair: the error is a few thousandths of a pixel.
    sy, sx = (abs(float(each)) for each in layer.scale[-2:])
    unit = f"{layer.units[-1]:~}" if layer.units else ""
    shift = f"Shift of the second view: y {dy:+.3f} ± {ey:.3f} px, x {dx:+.3f} ± {ex:.3f} px"
    if unit not in ("", "px", "pix", "pixel"):
        shift += f" (y {dy * sy:+.3g} ± {ey * sy:.2g}, x {dx * sx:+.3g} ± {ex * sx:.2g} {unit})"
    lines = [
        f"Views {layout.axis}"
        + (" of each other" if layout.axis == "above" else "")
        + f", {layout.gap} px apart; the second is {MIRRORED[layout.mirrored]}.",
        f"{shift}.",
        f"Noise-corrected correlation: {layout.noise_corrected_correlation:.2f}. "
        f"The second view is {layout.gain:.2f} times as bright.",
    ]
    found = layout.distortion
    if layout.affine is not None and found is not None:
        lines.append(
            f"It is rotated by {found.rotation:.2f} ± {found.rotation_error:.2f}° and magnified "
            f"{found.magnification:.4f} ± {found.magnification_error:.4f} times, "
            f"{found.at_corners:.1f} px at the corners: the training uses this map"
            + ("." if found.residual is None else f", which is right to {found.residual:.2f} px.")
        )
    return "\n".join(lines)
