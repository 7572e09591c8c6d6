"""clic-edge: clinical AI beside the PACS, from DICOM in to SR and SEG out."""

__version__ = "0.1.0"
