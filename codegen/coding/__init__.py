"""Weights coded for the way from the DRAM to the SRAM; docs/coding.md describes the format to the bit."""
