"""Features of the digits data set: what a FeatureJob runs in its pod.

Needs numpy, pyarrow and scikit-learn only, which the pipeline image has.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits


def build(*, levels: int = 16, coarse: bool = True) -> pa.Table:
    """Read 1797 images of 8 × 8 pixels and compute their features.

    Args:
        levels: grey levels of the raw pixels; they are scaled from 0..levels to 0..1.
        coarse: whether to add the mean of each 2 × 2 block.

    Returns:
        One row an image: `pixel_00`..`pixel_63` (FP32, 0..1), ink in each row and column, `ink` (mean of
        all), centre of mass in pixels, the coarse blocks, and `label` (INT64, the digit).
    """
    digits = load_digits()
    images = (digits.images / levels).astype(np.float32)  # [1797, 8, 8]
    count, height, width = images.shape
    columns: dict[str, np.ndarray] = {}
    for i, pixel in enumerate(images.reshape(count, -1).T):
        columns[f"pixel_{i:02d}"] = pixel
    for i in range(height):
        columns[f"row_{i}"] = images[:, i, :].sum(axis=1)
    for i in range(width):
        columns[f"column_{i}"] = images[:, :, i].sum(axis=1)
    columns["ink"] = images.mean(axis=(1, 2))
    weight = images / np.maximum(images.sum(axis=(1, 2), keepdims=True), 1e-6)
    columns["centre_row"] = (weight * np.arange(height, dtype=np.float32)[:, None]).sum(axis=(1, 2))
    columns["centre_column"] = (weight * np.arange(width, dtype=np.float32)).sum(axis=(1, 2))
    if coarse:
        blocks = images.reshape(count, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(count, -1)
        for i, block in enumerate(blocks.T):
            columns[f"block_{i:02d}"] = block
    columns = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in columns.items()}
    return pa.table({**columns, "label": digits.target.astype(np.int64)})
