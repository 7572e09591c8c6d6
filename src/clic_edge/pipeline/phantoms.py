"""A pipeline as constancy runs it: the same in all but its name, its model's state, and where to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clic_edge.domain.constancy import clinical_name
from clic_edge.errors import ClicEdgeError, Defect

if TYPE_CHECKING:
    from clic_edge.config import Pipeline
    from clic_edge.pacs.transport import Destination
    from clic_edge.pipeline.line import ReadyPipeline
    from clic_edge.pipeline.standing import Candidate

DESTINATION = "constancy"
"""Where everything goes that is made of a phantom, and nothing else."""


def for_constancy(settings: Pipeline, name: str) -> Pipeline:
    """Return a pipeline's settings under the name that constancy cases bear."""
    return settings.model_copy(update={"name": name, "deadline": None})


def ready_for_constancy(
    pipeline: ReadyPipeline, name: str, transport: Destination | None
) -> ReadyPipeline:
    """Return the pipeline with the model that the name tells of, whatever that one's state is.

    What any of the clinical destinations would get goes to `transport`, and to nobody else.

    Raises
    ------
    Defect
        ``constancy-model-gone``: the pipeline's file names no such model any more;
        ``constancy-closed``: there is no transport.

    """
    if transport is None:
        raise Defect("constancy-closed", "Constancy runs in the worker of a site only.")
    _, digest = clinical_name(name)
    model = next((one for one in pipeline.candidates if _is(one, digest)), None)
    if model is None:
        raise Defect(
            "constancy-model-gone",
            f"The file of {pipeline.settings.name} names no model {digest} any more.",
        )
    ours = replace(
        pipeline.destinations[0],
        name=DESTINATION,
        transport=transport,
        takes=pipeline.takes,
        witness=None,
    )
    return replace(
        pipeline,
        settings=for_constancy(pipeline.settings, name),
        runtime=model.load,
        candidates=(),
        challengers=(),
        destinations=(ours,),
        census=None,
    )


def _is(candidate: Candidate, digest: str) -> bool:
    try:
        return candidate.identity().digest.startswith(digest)
    except ClicEdgeError:
        return False  # a package that is broken is not the one
