"""Rows for PyTorch: tensors of numbers, PIL pictures, and everything else as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    import datasets


class TorchRows(Dataset[dict[str, Any]]):
    """A map-style dataset; pickled for workers, and pictures are read where the row is.

    A row is a dictionary. Columns of numbers, and of lists of numbers (boxes of shape (4,),
    vectors), are tensors of their own type; a missing float is NaN, any other missing one None.
    """

    def __init__(self, rows: datasets.Dataset) -> None:
        """Use `repic.open(...)[ref].to_torch()`."""
        self.rows = rows
        self._types = {
            name: kind for name in rows.features if (kind := _number(rows.features[name]))
        }

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One row.

        Raises:
            repic.errors.PictureError: a photo of it can no longer be read.
        """
        row = self.rows[index]
        return {name: self._value(name, value) for name, value in row.items()}

    def _value(self, name: str, value: Any) -> Any:
        if (kind := self._types.get(name)) is None:
            return value
        if value is None and (kind.kind != "f" or _is_list(self.rows.features[name])):
            return None
        return torch.from_numpy(np.asarray(np.nan if value is None else value, kind))

    @staticmethod
    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """`collate_fn` of a DataLoader: tensors of one shape are stacked, the rest is listed."""
        return {name: _stacked([row[name] for row in rows]) for name in rows[0]}


def _stacked(values: list[Any]) -> Any:
    if all(isinstance(value, torch.Tensor) and value.shape == values[0].shape for value in values):
        return torch.stack(values)
    return values


def _is_list(feature: Any) -> bool:
    return hasattr(feature, "feature")


def _number(feature: Any) -> np.dtype[Any] | None:
    """The type of a column of numbers or of lists of numbers; None for any other."""
    kind = feature.feature if _is_list(feature) else feature
    name = getattr(kind, "dtype", "")
    is_number = isinstance(name, str) and name.startswith(("int", "uint", "float", "bool"))
    return np.dtype(name) if is_number else None
