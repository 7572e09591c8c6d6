from __future__ import annotations

import io
import json
import shutil
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from servers import dcmtk_receiver
from typer.testing import CliRunner

from clic_edge.cli import app, console
from clic_edge.dicom.jpeg import clean_codestream
from clic_edge.dicom.orders import Order, read_form, read_worklist
from clic_edge.dicom.photograph_objects import (
    REGIONS,
    PhotographKind,
    Sitting,
    View,
    photograph_object,
)
from clic_edge.dicom.photographs import read_photograph
from clic_edge.errors import ClicEdgeError, ConfigError, Refusal, Transient
from clic_edge.pacs.association import DimsePeer
from clic_edge.pacs.storing import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as EXIF writes it
PLACE = "Hvidovre Hospital, stue 7"
ORDER = Order(patient_id="0101011234", patient_name="Testesen^Åse", accession_number="ACC-1")


def picture(*, grey: bool = False, seed: int = 0) -> Image.Image:
    """Return 48 x 32 smooth pixels that say where is up: bright above, dark below."""
    columns, rows = np.meshgrid(np.arange(48), np.arange(32))
    shades = [250 - 6 * rows, 40 + 2 * columns, 90 + seed + rows]
    pixels = np.stack(shades, axis=-1).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if grey else pixels)


def exif(orientation: int = 1) -> Image.Exif:
    """Return what a phone writes: who, where, when, and how the camera was held."""
    written = Image.Exif()
    written[0x0112], written[0x010F], written[0x0110] = orientation, "Maker", "Camera 7"
    written[0x010E] = PLACE
    written.get_ifd(0x8769)[0x9003] = "2025:11:30 10:20:30"
    written.get_ifd(0x8825)[0x001D] = "2025:11:30"
    return written


def made(
    path: Path,
    kind: PhotographKind = PhotographKind.OP,
    *,
    order: Order = ORDER,
    laterality: str = "R",
) -> Dataset:
    view = View(kind=kind, region=REGIONS["eye"], laterality=laterality, is_clean=True)
    photograph = read_photograph(path)
    sitting = Sitting.of([photograph], began_at=NOW)
    content = photograph_object(photograph, order, view, number=1, taken_at=NOW, sitting=sitting)
    return dcmread(io.BytesIO(content))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture().save(tmp_path / "eye.jpg", exif=exif(), comment=PLACE, quality=90)
    return tmp_path / "eye.jpg"


@pytest.mark.parametrize("kind", PhotographKind)
@pytest.mark.parametrize("name", ["c.jpg", "g.jpg", "p.jpg", "c.png", "g.png"])
def test_an_object_is_valid(kind: PhotographKind, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    options = {"progressive": True} if name.startswith("p") else {}
    picture(grey=name.startswith("g")).save(path, **options)
    assert_valid(made(path, kind), tmp_path)


@pytest.mark.parametrize("kind", [one for one in PhotographKind if one is not PhotographKind.OP])
def test_an_object_of_a_side_that_nobody_told_is_valid(
    kind: PhotographKind, photo: Path, tmp_path: Path
) -> None:
    assert_valid(made(photo, kind, laterality=""), tmp_path)


def assert_valid(ds: Dataset, folder: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    ds.save_as(folder / "made.dcm")
    done = subprocess.run(
        ["dciodvfy", "-new", str(folder / "made.dcm")],
        capture_output=True,
        check=False,
        text=True,
    )
    assert "Error" not in done.stderr + done.stdout
    assert done.stderr + done.stdout


def test_an_upright_jpeg_keeps_its_codestream_and_nothing_else(photo: Path) -> None:
    ds = made(photo)
    assert ds.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert (ds.PhotometricInterpretation, ds.LossyImageCompression) == ("YBR_FULL_422", "01")
    assert ds.LossyImageCompressionRatio > 1
    buffer = io.BytesIO()
    ds.save_as(buffer)
    assert PLACE.encode() in photo.read_bytes()
    for trace in (PLACE.encode(), b"Exif", b"2025:11:30", b"JFIF"):
        assert trace not in buffer.getvalue()
    assert np.abs(ds.pixel_array.astype(int) - np.asarray(Image.open(photo))).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_was_held_askew_is_turned_upright(orientation: int, tmp_path: Path) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions, inverted
    askew = picture()
    if orientation > 1:
        askew = askew.transpose(Image.Transpose(undo[orientation]))
    askew.save(tmp_path / "a.jpg", exif=exif(orientation), quality=100, subsampling=0)
    ds = made(tmp_path / "a.jpg")
    assert (ds.Rows, ds.Columns) == (32, 48)
    found = ds.pixel_array.astype(int)
    assert np.abs(found - np.asarray(picture())).mean() < 3
    assert ds.LossyImageCompression == "01"
    assert (ds.file_meta.TransferSyntaxUID == JPEGBaseline8Bit) == (orientation == 1)


def test_a_png_is_stored_as_it_is(tmp_path: Path) -> None:
    picture().convert("RGBA").save(tmp_path / "a.png")
    ds = made(tmp_path / "a.png", PhotographKind.XC)
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (ds.PhotometricInterpretation, ds.LossyImageCompression) == ("RGB", "00")
    assert np.array_equal(ds.pixel_array, np.asarray(picture()))


def test_a_jpeg_in_rgb_says_so(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", keep_rgb=True, quality=95)
    ds = made(tmp_path / "a.jpg")
    assert ds.PhotometricInterpretation == "RGB"
    assert np.abs(ds.pixel_array.astype(int) - np.asarray(picture())).max() <= 6


def test_whose_it_is_and_what_it_shows_stand_in_it(photo: Path) -> None:
    ds = made(photo)
    assert (ds.PatientID, ds.AccessionNumber, str(ds.PatientName)) == (
        "0101011234",
        "ACC-1",
        "Testesen^Åse",
    )
    assert (ds.Modality, ds.ImageLaterality) == ("OP", "R")
    assert ds.AnatomicRegionSequence[0].CodeValue == "81745001"
    assert ds.AcquisitionDeviceTypeCodeSequence[0].CodeMeaning == "Fundus Camera"
    assert (ds.Manufacturer, ds.ManufacturerModelName) == ("Maker", "Camera 7")
    assert (ds.BurnedInAnnotation, ds.RecognizableVisualFeatures) == ("NO", "NO")


def test_the_same_photograph_and_order_have_the_same_identifiers(photo: Path) -> None:
    first, again = made(photo), made(photo)
    assert first == again
    other = made(photo, order=Order(patient_id="0101011234", accession_number="ACC-2"))
    assert other.StudyInstanceUID != first.StudyInstanceUID
    picture(seed=9).save(photo)
    later = made(photo)
    assert later.StudyInstanceUID == first.StudyInstanceUID
    assert later.SeriesInstanceUID != first.SeriesInstanceUID, "both have the number 1"
    assert later.SOPInstanceUID != first.SOPInstanceUID


def test_a_worklist_entry_names_the_study(photo: Path, tmp_path: Path) -> None:
    entry = Dataset()
    entry.PatientID, entry.PatientName, entry.PatientSex = "42", "Ærlig^Ole", "M"
    entry.StudyInstanceUID, entry.AccessionNumber = "1.2.3.4", "A7"
    entry.RequestedProcedureDescription = "Fundus"
    entry.SpecificCharacterSet = "ISO_IR 100"
    entry.file_meta = FileMetaDataset()
    entry.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    entry.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.31"
    entry.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    entry.save_as(tmp_path / "entry.wl", enforce_file_format=True)
    ds = made(photo, order=read_worklist(tmp_path / "entry.wl"))
    assert (ds.StudyInstanceUID, ds.StudyDescription) == ("1.2.3.4", "Fundus")
    assert str(ds.PatientName) == "Ærlig^Ole"


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("text", lambda path: path.write_text("no photograph"), "photograph-unreadable"),
        ("gif", lambda path: picture().save(path, "GIF"), "photograph-unreadable"),
        ("nothing", lambda path: path.write_bytes(b""), "photograph-unreadable"),
        ("cmyk", lambda path: picture().convert("CMYK").save(path, "JPEG"), "photograph-colours"),
        ("clear", lambda path: Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(path, "PNG"), "photograph-colours"),
        ("grey16", lambda path: Image.new("I;16", (9, 9)).save(path, "PNG"), "photograph-depth"),
        ("colour16", lambda path: path.write_bytes(png16()), "photograph-depth"),
        ("moving", lambda path: picture().save(path, "PNG", save_all=True, append_images=[picture(seed=5)]), "photograph-animated"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_such_photograph_is_refused(
    name: str, make: Callable[[Path], object], code: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(Refusal) as error:
        read_photograph(tmp_path / name)
    assert error.value.code == code


def png16() -> bytes:
    """Return a PNG in colour with 16 bits a sample, which Pillow cannot write itself."""
    import struct  # noqa: PLC0415 - for this one file
    import zlib  # noqa: PLC0415 - as above

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(12)) * 2)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 0.99))
def test_a_jpeg_that_is_cut_off_is_refused(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.jpg"
    picture().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(Refusal) as error:
        read_photograph(path)
    assert error.value.code == "photograph-unreadable"


@settings(deadline=None, max_examples=60)
@given(noise=st.binary(max_size=200))
def test_any_bytes_have_a_codestream_or_none(noise: bytes) -> None:
    found = clean_codestream(b"\xff\xd8" + noise)
    assert found is None or found.content.endswith(b"\xff\xd9")


def run(*words: str) -> ClicEdgeError | None:
    result = CliRunner().invoke(app, ["dicomize", *words])
    assert result.exception is None or isinstance(result.exception, ClicEdgeError | SystemExit)
    return result.exception if isinstance(result.exception, ClicEdgeError) else None


def test_the_command_writes_one_series(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.stdout, "width", 120)
    picture(seed=3).save(tmp_path / "other.png")
    (tmp_path / "form.json").write_text(json.dumps({"patient_id": "7", "birth_date": "19010203"}))
    words = [str(photo), str(tmp_path / "other.png"), "--as", "dermoscopy"]
    words += [
        "--description",
        "melanoma?",
        "--form",
        str(tmp_path / "form.json"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert run(*words) is None
    files = [dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert [ds.InstanceNumber for ds in files] == [1, 2]
    assert len({ds.SeriesInstanceUID for ds in files}) == 1
    assert len({ds.StudyInstanceUID for ds in files}) == 1
    assert files[1].SeriesDescription == "melanoma?"
    assert files[0].AcquisitionDate == "20251130"
    assert files[0].PatientBirthDate == "19010203"
    assert files[0].BurnedInAnnotation == "YES"  # nobody has said that they looked


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--as", "op", "--patient-id", "7"], "laterality-missing"),
        (["--as", "us", "--patient-id", "7"], "region-missing"),
        (["--as", "xc", "--patient-id", "7", "--region", "tail"], "unknown-name"),
        (["--as", "xc"], "order-incomplete"),
        (["--as", "xc", "--patient-id", "7\\8"], "order-value"),
        (["--as", "xc", "--patient-id", "7", "--birth-date", "3.2.1901"], "order-value"),
        (["--as", "xc", "--patient-id", "7", "--to", "127.0.0.1"], "dicomize-peer"),
        (["--as", "xc", "--patient-id", "7", "--description", "a\\b"], "view-value"),
    ],
)
def test_what_nobody_said_is_asked_for(
    photo: Path, tmp_path: Path, words: list[str], code: str
) -> None:
    error = run(str(photo), *words, "--out", str(tmp_path / "out"))
    assert isinstance(error, ConfigError)
    assert error.code == code
    assert not (tmp_path / "out").exists()


def test_a_photograph_goes_somewhere_and_is_of_one_patient(photo: Path, tmp_path: Path) -> None:
    error = run(str(photo), "--as", "xc", "--patient-id", "7")
    assert error is not None
    assert error.code == "dicomize-nowhere"
    (tmp_path / "form.json").write_text('{"patient_id": "8"}')
    form = ["--form", str(tmp_path / "form.json"), "--out", str(tmp_path)]
    error = run(str(photo), "--as", "xc", "--patient-id", "7", *form)
    assert error is not None
    assert error.code == "order-twice"
    assert "8" not in error.sentence


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "order-unreadable"), ("[]", "order-unreadable"), ('{"age": "7"}', "order-key"), ('{"patient_id": 7}', "order-unreadable")],
)  # fmt: skip
def test_a_form_that_is_none_is_named(text: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "form.json").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_form(tmp_path / "form.json")
    assert error.value.code == code
    with pytest.raises(ConfigError) as error:
        read_worklist(tmp_path / "form.json")
    assert error.value.code == "order-unreadable"


@pytest.mark.servers
def test_photographs_are_stored_at_a_peer(photo: Path) -> None:
    with dcmtk_receiver("+xa") as receiver:
        to = f"{receiver.ae_title}@127.0.0.1:{receiver.port}"
        words = ["--as", "op", "--laterality", "L", "--patient-id", "7", "--to", to]
        assert run(str(photo), *words) is None
        (held,) = receiver.folder.iterdir()
        assert dcmread(held).file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    with dcmtk_receiver() as receiver:  # takes no JPEG
        peer = DimsePeer(host="127.0.0.1", port=receiver.port, called_ae_title=receiver.ae_title)
        buffer = io.BytesIO()
        made(photo).save_as(buffer)
        with pytest.raises(Transient) as error:
            store([buffer.getvalue()], peer)
        assert error.value.code == "store-refused"
        assert not list(receiver.folder.iterdir())
