"""The content tree that a report must have, made from the analysis and the originals alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydicom.sr.codedict import codes

from clic_edge.domain.prediction import Code
from clic_edge.results import provenance
from clic_edge.results import sr_terms as terms
from clic_edge.results.meanings import LANGUAGES, meanings
from clic_edge.results.sr_regions import outlines_of, place_of
from clic_edge.results.sr_tree import Drawn, Item, Quantity, Referred

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clic_edge.domain.prediction import CategoryFinding, Detection, Measurement, SegmentFinding
    from clic_edge.results.source import Source
    from clic_edge.results.sr_regions import Region
    from clic_edge.results.writer import Analysis

FLOAT_MM = 1e-3
"""What single precision may cost a coordinate."""

CONTAINS, CONCEPT = "CONTAINS", "HAS CONCEPT MOD"
OBSERVER, ACQUISITION, SELECTED = "HAS OBS CONTEXT", "HAS ACQ CONTEXT", "SELECTED FROM"

NAMES = {
    "110910": "Pixel Data Rows",
    "110911": "Pixel Data Columns",
    "111000": "Algorithm Family",
    "111001": "Algorithm Name",
    "111002": "Algorithm Parameters",
    "111003": "Algorithm Version",
    "111026": "Horizontal Pixel Spacing",
    "111027": "Image Laterality",
    "111028": "Image Library",
    "111030": "Image Region",
    "111066": "Vertical Pixel Spacing",
    "112039": "Tracking Identifier",
    "112040": "Tracking Unique Identifier",
    "112227": "Frame of Reference UID",
    "121005": "Observer Type",
    "121012": "Device Observer UID",
    "121013": "Device Observer Name",
    "121014": "Device Observer Manufacturer",
    "121015": "Device Observer Model Name",
    "121049": "Language of Content Item and Descendants",
    "121058": "Procedure reported",
    "121071": "Finding",
    "121112": "Source of Measurement",
    "121139": "Modality",
    "121191": "Referenced Segment",
    "121214": "Referenced Segmentation Frame",
    "121231": "Volume Surface",
    "121232": "Source Series for Segmentation",
    "121233": "Source Image for Segmentation",
    "121401": "Derivation",
    "122405": "Algorithm Manufacturer",
    "125007": "Measurement Group",
    "126010": "Imaging Measurements",
    "126200": "Image Library Group",
}
"""Concept names of the coding scheme DCM."""
ORIENTATION = {
    str(110904 + 3 * side + axis): f"Image Orientation (Patient) {way} {'XYZ'[axis]}"
    for side, way in enumerate(("Row", "Column"))
    for axis in range(3)
}
CATEGORY = Code(value="276214006", scheme="SCT", meaning="Finding category")
SITE = Code(value="363698007", scheme="SCT", meaning="Finding Site")
LATERALITY = Code(value="272741003", scheme="SCT", meaning="Laterality")
TOPOGRAPHY = Code(value="106233006", scheme="SCT", meaning="Topographical modifier")
SOURCE = Code(value="260753009", scheme="SCT", meaning="Source")
DEVICE = Code(value="121007", scheme="DCM", meaning="Device")
ARTIFICIAL_INTELLIGENCE = Code(value="123110", scheme="DCM", meaning="Artificial Intelligence")
PIXELS = Code(value="{pixels}", scheme="UCUM", meaning="Pixels")
MILLIMETRE = Code(value="mm", scheme="UCUM", meaning="mm")
COSINE = Code(value="{-1:1}", scheme="UCUM", meaning="{-1:1}")


def expected_items(
    analysis: Analysis, source: Source, segments: Mapping[str, Referred]
) -> tuple[Item, ...]:
    """Return everything below the root of the report, in the reader's language.

    `segments` are those of the segmentation that it names, by their Tracking UID (0062,0021).
    """
    language, own_name = LANGUAGES[analysis.language]
    model, asked = analysis.model, terms.procedure(source)
    reported = Code(value=asked.value, scheme=asked.scheme_designator, meaning=asked.meaning)
    items = (
        _code(CONCEPT, "121049", Code(value=language, scheme="RFC5646", meaning=own_name)),
        _code(OBSERVER, "121005", DEVICE),
        _uid(OBSERVER, "121012", provenance.device_uid(model)),
        _text(OBSERVER, "121013", model.title),
        _text(OBSERVER, "121014", model.manufacturer),
        _text(OBSERVER, "121015", model.model_id),
        _code(CONCEPT, "121058", reported),
        _container("111028", (_container("126200", tuple(_library(analysis, source))),)),
        _container("126010", tuple(_groups(analysis, source, segments))),
    )
    if analysis.language == "en":
        return items
    known = meanings(analysis.language)
    return tuple(_translated(one, known) for one in items)


def _library(analysis: Analysis, source: Source) -> Iterator[Item]:
    """Yield what the originals share, then each of them (TID 1602, TID 1604)."""
    header, plane = source.header, source.planes[0]
    modalities = {getattr(codes.cid29, one).value: one for one in codes.cid29.dir()}
    name = modalities.get(str(header.get("Modality", "")))
    modality = getattr(codes.cid29, name) if name else codes.cid32.Other
    yield _code(
        ACQUISITION,
        "121139",
        Code(value=modality.value, scheme=modality.scheme_designator, meaning=modality.meaning),
    )
    sizes = [("110910", header.Rows, PIXELS), ("110911", header.Columns, PIXELS)]
    if not analysis.in_patient:
        if side := terms.laterality_of(source):
            yield _code(ACQUISITION, "111027", side)
        yield from (_sized(code, value, unit) for code, value, unit in sizes)
    else:
        yield _uid(ACQUISITION, "112227", str(header.FrameOfReferenceUID))
        between_rows, between_columns = plane.pixel_spacing
        sizes += [("111066", between_rows, MILLIMETRE), ("111026", between_columns, MILLIMETRE)]
        yield from (_sized(code, value, unit) for code, value, unit in sizes)
        for (code, meaning), cosine in zip(ORIENTATION.items(), plane.orientation, strict=True):
            name_ = Code(value=code, scheme="DCM", meaning=meaning)
            yield _number(ACQUISITION, name_, Quantity(value=cosine, unit=COSINE))
    for image in source.images:
        yield Item(
            relationship=CONTAINS,
            value_type="IMAGE",
            name=SOURCE,
            value=Referred(
                sop_class_uid=image.sop_class_uid, sop_instance_uid=image.sop_instance_uid
            ),
        )


def _sized(code: str, value: float, unit: Code) -> Item:
    return _number(ACQUISITION, _dcm(code), Quantity(value=float(value), unit=unit))


def _groups(analysis: Analysis, source: Source, segments: Mapping[str, Referred]) -> Iterator[Item]:
    prediction = analysis.prediction
    for finding, outline in zip(prediction.segments, outlines_of(prediction), strict=True):
        told = tuple(_of_segment(analysis, finding))
        if outline:
            region = _region("111030", outline, analysis=analysis, source=source)
            yield _container("125007", (*told, region), template="1410")
        uid = terms.tracking_of_segment(analysis, finding.definition).uid
        referred = _segment(analysis, source, segments[uid]) if uid in segments else ()
        with_region = "1410" if analysis.image else "1411"
        yield _container(
            "125007",
            (*told, *_numbers(analysis, finding), *referred),
            template=with_region if referred else "1501",
        )
    for answers in terms.questions(analysis.prediction):
        yield _container("125007", tuple(_of_question(analysis, source, answers)), template="1501")
    for one in analysis.prediction.detections:
        yield from _of_detection(analysis, source, one)


def _segment(analysis: Analysis, source: Source, segment: Referred) -> tuple[Item, Item]:
    if analysis.image:
        frame = replace(segment, frame=segment.segment, segment=None)  # each has one frame
        return _image("121214", frame), _image("121233", _original(source))
    return (
        Item(relationship=CONTAINS, value_type="IMAGE", name=_dcm("121191"), value=segment),
        _uid(CONTAINS, "121232", str(source.header.SeriesInstanceUID)),
    )


def _original(source: Source) -> Referred:
    (image,) = source.images
    return Referred(sop_class_uid=image.sop_class_uid, sop_instance_uid=image.sop_instance_uid)


def _image(code: str, value: Referred) -> Item:
    return Item(relationship=CONTAINS, value_type="IMAGE", name=_dcm(code), value=value)


def _of_segment(analysis: Analysis, finding: SegmentFinding) -> Iterator[Item]:
    segment = finding.definition
    yield from _tracking(terms.tracking_of_segment(analysis, segment))
    yield _coded(CONTAINS, CATEGORY, segment.category)
    yield _code(CONTAINS, "121071", segment.property_type)
    yield from _site(terms.site_of(segment))
    yield from _algorithm(analysis)


def _numbers(analysis: Analysis, finding: SegmentFinding) -> Iterator[Item]:
    yield from (_measurement(analysis, one) for one in terms.measurements(analysis, finding))


def _of_question(
    analysis: Analysis, source: Source, answers: tuple[CategoryFinding, ...]
) -> Iterator[Item]:
    yield from _tracking(terms.tracking_of_question(analysis, answers[0].concept))
    if analysis.image:
        yield from _site(terms.site_of_image(source))
    yield from _algorithm(analysis)
    for one in answers:
        answer = _coded(CONCEPT, one.concept, one.value)
        yield replace(_probability(one.probability), children=(answer,))
    yield from (_coded(CONTAINS, one.concept, one.value) for one in answers if one.chosen)
    if analysis.image:
        yield _image("121112", _original(source))


def _of_detection(analysis: Analysis, source: Source, one: Detection) -> Iterator[Item]:
    place = place_of(one, analysis.prediction.geometry)
    told = (
        *_tracking(terms.tracking_of_detection(analysis, one)),
        _code(CONTAINS, "121071", one.finding),
        *_site(terms.Site(place=one.site) if one.site else None),
        *_algorithm(analysis),
    )
    numbers = (
        _probability(one.probability),
        *(_measurement(analysis, number) for number in one.measurements),
    )
    if place.planar:
        region = _region("111030", place.planar, analysis=analysis, source=source)
        own = (*told, region) if place.surface else (*told, *numbers, region)
        yield _container("125007", own, template="1410")
    if place.surface:
        contours = (
            _region("121231", contour, analysis=analysis, source=source)
            for contour in place.surface
        )
        series = _uid(CONTAINS, "121232", str(source.header.SeriesInstanceUID))
        yield _container("125007", (*told, *numbers, *contours, series), template="1411")


def _region(code: str, region: Region, *, analysis: Analysis, source: Source) -> Item:
    """Return where a region lies in the patient, on the model's own grid."""
    geometry, k = analysis.prediction.geometry, region.slice_index
    if k is None:
        drawn = Drawn(
            graphic_type=region.graphic_type,
            points_mm=tuple(map(tuple, region.points.tolist())),
            frame_of_reference=str(source.header.FrameOfReferenceUID),
            tolerance_mm=FLOAT_MM,
        )
        return Item(relationship=CONTAINS, value_type="SCOORD3D", name=_dcm(code), value=drawn)
    columns, rows = region.points.T - 0.5
    ones = np.ones(len(rows))
    points = (geometry.affine @ np.array([k * ones, rows, columns, ones]))[:3].T
    plane = source.planes[k]
    size = geometry.shape[1:]
    ends = [[k, 0, 0, 1], [k, 0, size[1] - 1, 1], [k, size[0] - 1, 0, 1]]
    off = np.linalg.norm((geometry.affine @ np.array(ends).T)[:3].T - plane.corners(*size), axis=1)
    drawn = Drawn(
        graphic_type=region.graphic_type,
        points_mm=tuple(map(tuple, points.tolist())),
        frame_of_reference="",
        tolerance_mm=FLOAT_MM + 2 * float(off.max()),
    )
    image = Referred(
        sop_class_uid=plane.image.sop_class_uid,
        sop_instance_uid=plane.image.sop_instance_uid,
        frame=plane.frame_number,
    )
    return Item(
        relationship=CONTAINS,
        value_type="SCOORD",
        name=_dcm(code),
        value=drawn,
        children=(Item(relationship=SELECTED, value_type="IMAGE", name=SOURCE, value=image),),
    )


def _measurement(analysis: Analysis, one: Measurement) -> Item:
    children = []
    if one.derivation:
        children.append(_code(CONCEPT, "121401", one.derivation))
    if one.method:
        children.append(_text(CONCEPT, "111001", one.method))
        children.append(_text(CONCEPT, "111003", analysis.model.version))
    number = _number(CONTAINS, one.name, Quantity(value=one.value, unit=one.unit))
    return replace(number, children=tuple(children))


def _probability(probability: float) -> Item:
    return _number(CONTAINS, terms.PROBABILITY, Quantity(value=probability, unit=terms.NO_UNITS))


def _tracking(one: terms.Tracking) -> tuple[Item, Item]:
    return _text(OBSERVER, "112039", one.identifier), _uid(OBSERVER, "112040", one.uid)


def _site(site: terms.Site | None) -> Iterator[Item]:
    if site is None:
        return
    modifiers = ((LATERALITY, site.laterality), (TOPOGRAPHY, site.topography))
    children = tuple(_coded(CONCEPT, name, code) for name, code in modifiers if code)
    yield replace(_coded(CONCEPT, SITE, site.place), children=children)


def _algorithm(analysis: Analysis) -> Iterator[Item]:
    model = analysis.model
    yield _text(CONCEPT, "111001", model.title)
    yield _text(CONCEPT, "111003", model.version)
    yield _text(CONCEPT, "122405", model.manufacturer)
    for one in terms.parameters(model, analysis.language):
        yield _text(CONCEPT, "111002", one)
    yield _code(CONCEPT, "111000", ARTIFICIAL_INTELLIGENCE)


def _dcm(code: str) -> Code:
    return Code(value=code, scheme="DCM", meaning=NAMES[code])


def _container(code: str, children: tuple[Item, ...], *, template: str = "") -> Item:
    return Item(
        relationship=CONTAINS,
        value_type="CONTAINER",
        name=_dcm(code),
        value=f"DCMR {template}" if template else "",
        children=children,
    )


def _text(relationship: str, code: str, value: str) -> Item:
    return Item(relationship=relationship, value_type="TEXT", name=_dcm(code), value=value)


def _uid(relationship: str, code: str, value: str) -> Item:
    return Item(relationship=relationship, value_type="UIDREF", name=_dcm(code), value=value)


def _code(relationship: str, code: str, value: Code) -> Item:
    return _coded(relationship, _dcm(code), value)


def _coded(relationship: str, name: Code, value: Code) -> Item:
    return Item(relationship=relationship, value_type="CODE", name=name, value=value)


def _number(relationship: str, name: Code, value: Quantity) -> Item:
    return Item(relationship=relationship, value_type="NUM", name=name, value=value)


def _translated(item: Item, known: Mapping[str, str]) -> Item:
    """Return an item with the meanings of its codes in another language."""
    value = item.value
    if isinstance(value, Code):
        value = _said(value, known)
    elif isinstance(value, Quantity):
        value = replace(value, unit=_said(value.unit, known))
    children = tuple(_translated(one, known) for one in item.children)
    return replace(item, name=_said(item.name, known), value=value, children=children)


def _said(code: Code, known: Mapping[str, str]) -> Code:
    return replace(code, meaning=known.get(f"{code.scheme}:{code.value}", code.meaning))
