"""Recipes, samples, the training loop, and what a run leaves."""
