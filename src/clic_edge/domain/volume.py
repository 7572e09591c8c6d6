"""Voxels and where they lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where a voxel grid lies in the patient (PS3.3 C.7.6.2.1.1)."""

    affine: NDArray[np.float64]
    """Shape (4, 4), read-only: (slice, row, column, 1) to patient millimetres in LPS."""
    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    in_patient: bool = True
    """False for a two-dimensional image: one slice whose grid is the image's own pixels, and
    nobody knows where they lie in the patient."""
    on_slide: bool = False
    """True where the affine leads to millimetres of a glass slide (PS3.3 C.8.12.2)."""
    in_mm: bool = True
    """False where the size of a pixel is not known either: every step is then 1."""

    @property
    def of_one_image(self) -> bool:
        """Whether it is the grid of one image of a series, and nothing more is known."""
        return not (self.in_patient or self.on_slide)

    @classmethod
    def of_image(
        cls, rows: int, columns: int, pixel_spacing_mm: tuple[float, float] | None
    ) -> Self:
        """Return the grid of one image's own pixels; spacing is between rows, between columns."""
        between_rows, between_columns = pixel_spacing_mm or (1.0, 1.0)
        affine = np.array(
            [[0, 0, between_columns, 0], [0, between_rows, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]]
        )
        affine.flags.writeable = False
        return cls(
            affine=affine,
            shape=(1, rows, columns),
            in_patient=False,
            in_mm=pixel_spacing_mm is not None,
        )

    @classmethod
    def on_glass(cls, points: NDArray[np.float64], shape: tuple[int, int]) -> Self:
        """Return a grid on a slide.

        `points` has shape (3, 3): where its first point lies, the one below it, the one beside it.
        """
        first, below, beside = points
        affine = np.eye(4)
        affine[:3, 1], affine[:3, 2], affine[:3, 3] = below - first, beside - first, first
        normal = np.cross(affine[:3, 2], affine[:3, 1])
        affine[:3, 0] = normal / np.linalg.norm(normal)
        affine.flags.writeable = False
        return cls(affine=affine, shape=(1, *shape), in_patient=False, on_slide=True)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along slices, rows and columns."""
        steps = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(steps[0]), float(steps[1]), float(steps[2])

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel; also right for a sheared grid. A pixel of an image has none: 0."""
        if not self.in_patient:
            return 0.0
        return float(abs(np.linalg.det(self.affine[:3, :3])))


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSource:
    """Where one slice of a volume came from."""

    instance_index: int
    """Index into `CleanSeries.instances`, and so into `Series.instances`."""
    frame_number: int
    """1-based as DICOM counts frames; 1 for a single-frame instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """How the images were made; nothing here names a patient. Absent means empty or None."""

    modality: str = ""
    manufacturer: str = ""
    model_name: str = ""
    software_versions: str = ""
    station_name: str = ""
    """Station Name (0008,1010), where the profile keeps it."""
    body_part: str = ""
    patient_position: str = ""
    view_position: str = ""
    scanning_sequence: str = ""
    sequence_variant: str = ""
    mr_acquisition_type: str = ""
    slice_thickness_mm: float | None = None
    magnetic_field_strength_t: float | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    echo_train_length: float | None = None
    pixel_bandwidth_hz: float | None = None
    """For each pixel."""
    number_of_averages: float | None = None
    kvp: float | None = None
    x_ray_tube_current_ma: float | None = None
    exposure_time_ms: float | None = None
    exposure_mas: float | None = None
    ctdi_vol_mgy: float | None = None
    spiral_pitch_factor: float | None = None
    reconstruction_diameter_mm: float | None = None
    exposure_index: float | None = None
    """Of IEC 62494-1, on a projection."""
    body_part_thickness_mm: float | None = None
    """Under compression."""
    compression_force_n: float | None = None
    radionuclide_total_dose_bq: float | None = None
    """Injected activity, where the profile keeps it."""
    convolution_kernel: str = ""
    filter_type: str = ""
    contrast: str = ""
    """``with`` where a Contrast/Bolus Agent (0018,0010) is named, ``without`` where the images
    have no such attribute; empty where it is there and says nothing."""
    age_years: float | None = None
    """Patient's Age (0010,1010), where the profile keeps it."""
    sex: str = ""
    """Patient's Sex (0010,0040), where the profile keeps it."""
    laterality: str = ""
    """``L``, ``R`` or ``B``: Image Laterality (0020,0062), else Laterality (0020,0060)."""
    suv_bw_factor: float | None = None
    """What voxels of PET are multiplied with to be SUVbw in g/ml; None where it is not sure."""

    def narrowed(self, needs: Collection[str]) -> Self:
        """Return what a model may see of it: the fields that it needs, the others empty."""
        told = {
            one.name: getattr(self, one.name) for one in fields(Acquisition) if one.name in needs
        }
        return type(self)(**told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One stack of slices of one subject, on a regular grid, in modality units."""

    voxels: NDArray[np.generic] = field(repr=False)
    """Shape (slices, rows, columns), int16 or float32, rescaled, read-only."""
    geometry: Geometry
    slices: tuple[SliceSource, ...]
    """One entry for each slice, in the order of the first axis of `voxels`."""
    acquisition: Acquisition
    subject_id: str
    series_uid: str
    """The keyed Series Instance UID."""

    def narrowed(self, needs: Collection[str]) -> Self:
        """Return what a model may see: voxels, grid, and of the acquisition only what it needs.

        Subject and series are not told: a model has no use for whose images it sees.
        """
        told = self.acquisition.narrowed(needs)
        return replace(self, acquisition=told, subject_id="", series_uid="")
