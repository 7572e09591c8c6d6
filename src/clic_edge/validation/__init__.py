"""How well a model package does on labelled volumes."""

from clic_edge.validation.validate import validate

__all__ = ["validate"]
