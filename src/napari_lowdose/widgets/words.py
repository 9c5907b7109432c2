"""Messages of the engines in the words of the forms.

The engines speak to scripts as well, and so name parameters, array slices and small units.
"""

from __future__ import annotations

import re

LABELS = {
    "patch_size": "patch size",
    "n_stacks": "stacks",
    "n_components": "eigenpatches",
    "memory_limit": "memory limit",
    "scan_noise": "scan noise",
    "frames_together": "frames together",
    "time_budget": "time",
    "batch_size": "batch size",
    "crop_size": "crop size",
    "learning_rate": "learning rate",
}
PHRASES = {
    "give the two rectangles of the views (layout=...)": "press Draw the views",
    "measure their layout with split_frame": "set the views to automatic",
    "that SplitLayout.save has written": "saved by the widget Split camera frame",
}
_CHOICE = re.compile(r"\b(\w+)='(\w+)'")
_NAME = re.compile(rf"\b({'|'.join(LABELS)})\b(=)?")
_SWITCH = re.compile(r"(?:\bset |(?<=\())(\w+)=(True|False)\b")
_REGION = re.compile(r"\[(\d+):(\d+), (\d+):(\d+)\](?: \(rows, columns\))?")
_MEBIBYTES = re.compile(r"\b(\d+) MiB\b")


def use_form_labels(text: str) -> str:
    """Replace the words of scripts in a message by those of the forms.

    Examples
    --------
    >>> use_form_labels("n_stacks is 5, which is too many: use n_stacks=3.")
    'stacks is 5, which is too many: use stacks 3.'
    >>> use_form_labels("or set fallback=False")
    "or switch 'fallback' off"
    >>> use_form_labels("replaced in the result (outliers='keep' keeps their values)")
    "replaced in the result (outliers 'keep' keeps their values)"
    >>> use_form_labels("the parts [0:128, 0:64] and [0:128, 64:128] (rows, columns)")
    'the parts (rows 1 to 128, columns 1 to 64) and (rows 1 to 128, columns 65 to 128)'
    >>> use_form_labels("the memory limit of 512 MiB")
    'the memory limit of 0.5 GiB'
    """
    for said, shown in PHRASES.items():
        text = text.replace(said, shown)
    text = _SWITCH.sub(lambda m: f"switch '{m[1]}' {'on' if m[2] == 'True' else 'off'}", text)
    text = _CHOICE.sub(r"\1 '\2'", text)
    text = _NAME.sub(lambda m: LABELS[m[1]] + (" " if m[2] else ""), text)
    text = _REGION.sub(_region, text)
    return _MEBIBYTES.sub(_gibibytes, text)


def as_sentence(text: str) -> str:
    """Return a message in the words of the forms, beginning with a capital."""
    text = use_form_labels(text)
    return text[:1].upper() + text[1:]


def _region(found: re.Match[str]) -> str:
    top, bottom, left, right = map(int, found.groups())
    return f"(rows {top + 1} to {bottom}, columns {left + 1} to {right})"


def _gibibytes(found: re.Match[str]) -> str:
    size = int(found[1]) / 1024
    # As the fields do; smaller ones would be rounded to nothing
    return f"{size:.2f}".rstrip("0").rstrip(".") + " GiB" if size >= 0.01 else found[0]
