"""All programs: importing this registers them."""

from . import errors, observed, older, propagation, structure, values, walks
from .program import PROGRAMS

__all__ = ["PROGRAMS", "errors", "observed", "older", "propagation", "structure", "values", "walks"]
