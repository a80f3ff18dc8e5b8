"""Tests of `debug`."""
