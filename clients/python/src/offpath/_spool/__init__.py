"""Segments of a spool: where they lie, what they begin with, how frames get into them."""
