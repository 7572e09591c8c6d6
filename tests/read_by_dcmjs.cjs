// Tells, as JSON, what dcmjs finds in one file: run as `node read_by_dcmjs.cjs FILE`.
const { readFileSync } = require("node:fs");
const { log, data } = require("dcmjs");

log.setLevel("silent"); // else it writes to where the answer goes

const bytes = readFileSync(process.argv[2]);
const file = data.DicomMessage.readFile(
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
);
const dataset = data.DicomMetaDictionary.naturalizeDataset(file.dict);

const list = (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]);
const first = (value) => list(value)[0];

/** Where a frame lies, which segment it shows, and which of its pixels are set. */
function frames() {
  const size = dataset.Rows * dataset.Columns;
  const stored = new Uint8Array(first(dataset.PixelData));
  const pixels = dataset.BitsAllocated === 1 ? data.BitArray.unpack(stored) : stored;
  return list(dataset.PerFrameFunctionalGroupsSequence).map((frame, index) => ({
    position: first(frame.PlanePositionSequence).ImagePositionPatient.map(Number),
    segment: first(frame.SegmentIdentificationSequence)?.ReferencedSegmentNumber ?? 0,
    set: [...pixels.subarray(index * size, (index + 1) * size).entries()]
      .filter(([, value]) => value)
      .map(([place]) => place),
  }));
}

/** Every number of a report with the tracking UID of its group. */
function measurements(item, tracking = "") {
  const inner = list(item.ContentSequence);
  const code = (one) => first(one.ConceptNameCodeSequence)?.CodeValue;
  const own = inner.find((one) => code(one) === "112040")?.UID ?? tracking;
  return inner.flatMap((one) => {
    const found =
      one.ValueType === "NUM"
        ? [[own, code(one), Number(first(one.MeasuredValueSequence).NumericValue)]]
        : [];
    return [...found, ...measurements(one, own)];
  });
}

console.log(
  JSON.stringify({
    modality: dataset.Modality,
    patient: [dataset.PatientName].flat().map((name) => name.Alphabetic ?? name),
    segments: list(dataset.SegmentSequence).map((one) => [one.SegmentNumber, one.TrackingUID ?? ""]),
    frames: dataset.PixelData && dataset.PerFrameFunctionalGroupsSequence ? frames() : [],
    measurements: measurements(dataset),
  }),
);
