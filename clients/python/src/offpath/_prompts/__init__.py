"""Langfuse's prompts: fetched, kept in memory and on disk, and filled in."""
