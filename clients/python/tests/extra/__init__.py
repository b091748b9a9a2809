"""Tests against the real libraries: each file leaves itself out where its own is missing."""
