"""The DICOM conformance statement of this appliance, made from its running configuration."""
