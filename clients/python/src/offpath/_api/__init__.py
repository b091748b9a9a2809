"""Langfuse's API on the recorder."""
