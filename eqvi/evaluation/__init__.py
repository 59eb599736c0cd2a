"""Methods, scoring, errors of flow and motion, the benchmark."""
