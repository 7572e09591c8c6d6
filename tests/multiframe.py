"""Single-frame images as the frames of one enhanced instance."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage


def item(**attributes: object) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def enhanced(frames: list[Dataset]) -> Dataset:
    """Return one enhanced MR with the single-frame images as its frames, in their order."""
    multi = frames[0]
    groups = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=frame.ImagePositionPatient)],
            PixelValueTransformationSequence=[item(RescaleSlope=number, RescaleIntercept=-number)],
            FrameContentSequence=[item(TemporalPositionIndex=1)],
        )
        for number, frame in enumerate(frames, start=1)
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=multi.ImageOrientationPatient)],
        PixelMeasuresSequence=[item(PixelSpacing=multi.PixelSpacing, SliceThickness=2.5)],
        MRTimingAndRelatedParametersSequence=[item(RepetitionTime=9.0, FlipAngle=15.0)],
        MREchoSequence=[item(EffectiveEchoTime=4.0)],
    )
    multi.PixelData = b"".join(frame.PixelData for frame in frames)
    multi.NumberOfFrames = len(frames)
    multi.SOPClassUID = multi.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    multi.PerFrameFunctionalGroupsSequence = groups
    multi.SharedFunctionalGroupsSequence = [shared]
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RepetitionTime",
        "EchoTime",
    ):
        delattr(multi, keyword)
    return multi
