"""Tests of the search for widths."""
