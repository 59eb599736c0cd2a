"""The study as a static site: what `eqvi.cli.site` puts together. One folder, opened from disk, no request to anywhere."""
