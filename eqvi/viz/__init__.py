"""Figures and the explorer widget; the only importer of matplotlib."""
