"""LLM tracing that stays off the request path, with Langfuse's API.

`from langfuse import …` becomes `from offpath import …`. Observations are written to a file in memory; the relay, another
process, assembles, stores and delivers them.
"""

from ._api.client import Langfuse, OffpathWarning, get_client
from ._api.context import ContextThreadPoolExecutor, in_context, run_in_executor
from ._api.observation import (
    LangfuseAgent,
    LangfuseChain,
    LangfuseEmbedding,
    LangfuseEvaluator,
    LangfuseEvent,
    LangfuseGeneration,
    LangfuseGuardrail,
    LangfuseRetriever,
    LangfuseSpan,
    LangfuseTool,
    ObservationTypeLiteral,
)
from ._api.observe import observe
from ._api.propagate import propagate_attributes
from ._node import RelayError
from ._prompts.server import PromptError
from ._relay_process import RelayProcess, start_relay
from ._version import __version__
from .media import LangfuseMedia

Offpath = Langfuse

__all__ = [
    "ContextThreadPoolExecutor",
    "Langfuse",
    "LangfuseAgent",
    "LangfuseChain",
    "LangfuseEmbedding",
    "LangfuseEvaluator",
    "LangfuseEvent",
    "LangfuseGeneration",
    "LangfuseGuardrail",
    "LangfuseMedia",
    "LangfuseRetriever",
    "LangfuseSpan",
    "LangfuseTool",
    "ObservationTypeLiteral",
    "Offpath",
    "OffpathWarning",
    "PromptError",
    "RelayError",
    "RelayProcess",
    "__version__",
    "get_client",
    "in_context",
    "observe",
    "propagate_attributes",
    "run_in_executor",
    "start_relay",
]
