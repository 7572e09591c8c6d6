"""Into Orthanc and out of it: C-STORE against DCMTK, REST to numpy against pydicom on files."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from dicomweb_client import DICOMwebClient
from orthancs import NO_DELAY, Orthanc, program
from pydicom.uid import CTImageStorage
from rounds import Comparison, Contender, interleave

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.pacs.dimse import DimseDestination, DimsePeer
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from phantom import Phantom


def compare_store(
    orthanc: Orthanc, phantom: Phantom, files: Sequence[Path], rounds: int
) -> Comparison:
    """Send the phantom into one Orthanc by our sender and by DCMTK's."""
    copies = files[0].parent.with_name("copies")
    contenders = (
        Contender(
            name="clic-edge's sender (pynetdicom)",
            prepare=orthanc.empty,
            run=lambda: store(orthanc, phantom, files),
        ),
        Contender(
            name="DCMTK `storescu`",
            prepare=orthanc.empty,
            run=lambda: _storescu(orthanc, files[0].parent),
        ),
        Contender(
            name="floor: write and fsync the same bytes",
            prepare=lambda: shutil.rmtree(copies, ignore_errors=True),
            run=lambda: _write_and_sync(files, copies),
        ),
    )
    times = interleave("C-STORE", contenders, rounds)
    orthanc.empty()
    return Comparison(
        title="C-STORE into the appliance's Orthanc",
        what="One association from files to Orthanc's answer to the last slice, into the same "
        "Orthanc, emptied before each time. `TCP_NODELAY=1` in Orthanc's and in DCMTK's "
        "environment; our sender sets the socket option itself.",
        times=times,
    )


def store(orthanc: Orthanc, phantom: Phantom, files: Sequence[Path]) -> None:
    """Send files by the product's own C-STORE sender; every answer must be success."""
    # The sender is that of results; of an object's kind it only speaks in errors.
    objects = [
        ResultObject(
            kind=ResultKind.SEG,
            sop_class_uid=CTImageStorage,
            series_instance_uid=f"{phantom.uid_root}.1",
            sop_instance_uid=f"{phantom.uid_root}.1.{number}",
            content=path.read_bytes(),
        )
        for number, path in enumerate(files, start=1)
    ]
    peer = DimsePeer(
        host="127.0.0.1",
        port=orthanc.dicom_port,
        called_ae_title=orthanc.ae_title,
        calling_ae_title="MODALITY",
    )
    receipts = DimseDestination("orthanc", peer).deliver(objects)
    if not all(receipt.accepted for receipt in receipts):
        raise SystemExit("Orthanc did not take every slice.")


def _storescu(orthanc: Orthanc, folder: Path) -> None:
    # -R proposes only what the files need, as our sender does.
    options = ("-R", "+sd", "-aet", "MODALITY", "-aec", orthanc.ae_title)
    subprocess.run(
        [program("storescu"), *options, "127.0.0.1", str(orthanc.dicom_port), str(folder)],
        check=True,
        capture_output=True,
        env=os.environ | NO_DELAY,
    )


def _write_and_sync(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir()
    for path in files:
        with (folder / path.name).open("wb") as copy:
            copy.write(path.read_bytes())
            copy.flush()
            os.fsync(copy.fileno())


def compare_read(
    orthanc: Orthanc, phantom: Phantom, files: Sequence[Path], rounds: int
) -> Comparison:
    """Read the phantom out of Orthanc into one array, against files that lie on the disk."""
    orthanc.empty()
    store(orthanc, phantom, files)
    (series_id,) = orthanc.ids("series")
    rest = HttpRest(OrthancPeer(url=orthanc.url))
    archive = OrthancArchive(rest)
    dicomweb = DICOMwebClient(f"{orthanc.url}/dicom-web")
    uids = (phantom.uid_root, f"{phantom.uid_root}.1")
    contenders = (
        Contender(
            name="clic-edge: `OrthancArchive.series`, `build_volume`",
            run=lambda: _expect(phantom, _ours(archive, series_id)),
        ),
        Contender(
            name="pydicom on the files: `pixel_array`, rescale, stack",
            run=lambda: _expect(phantom, _stacked(pydicom.dcmread(path) for path in files)),
        ),
        Contender(
            name="dicomweb-client `retrieve_series`, then as pydicom",
            run=lambda: _expect(phantom, _stacked(dicomweb.retrieve_series(*uids))),
        ),
        Contender(
            name="floor: files out of the page cache, each pixel copied once",
            run=lambda: _expect(phantom, _copied(phantom, files)),
        ),
    )
    times = interleave("Orthanc to numpy", contenders, rounds)
    rest.close()
    return Comparison(
        title="Orthanc to numpy",
        what="The whole series as one array in Hounsfield units; ours comes over Orthanc's REST "
        "interface and proves geometry on the way, pydicom and the floor read the same files from "
        "the disk, which are in the page cache. Every array is compared with the phantom at a "
        "few voxels (in the time, negligible).",
        times=times,
    )


def _ours(archive: OrthancArchive, series_id: str) -> NDArray[np.generic]:
    series = archive.series(series_id)
    # The volume is built after de-identification, which is measured by itself.
    clean = CleanSeries(
        subject_id="phantom",
        series_uid=series.series_instance_uid,
        instances=tuple(CleanInstance(content=one.content) for one in series.instances),
    )
    return build_volume(clean, VolumePolicy()).voxels


def _stacked(datasets: Iterable[pydicom.Dataset]) -> NDArray[np.generic]:
    ordered = sorted(datasets, key=lambda ds: float(ds.ImagePositionPatient[2]))
    return np.stack(
        [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in ordered]
    )


def _copied(phantom: Phantom, files: Iterable[Path]) -> NDArray[np.generic]:
    voxels = np.empty(phantom.voxels.shape, np.int16)
    for plane, path in zip(voxels, files, strict=True):
        pixels = np.frombuffer(path.read_bytes()[-plane.nbytes :], np.int16)
        np.subtract(pixels.reshape(plane.shape), np.int16(1024), out=plane)
    return voxels


def _expect(phantom: Phantom, voxels: NDArray[np.generic]) -> None:
    sample = (slice(None), phantom.size // 2, phantom.size // 3)
    if not np.array_equal(voxels[sample], phantom.voxels[sample] - 1024):
        raise SystemExit("The voxels are not the phantom's.")
