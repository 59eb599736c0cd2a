"""The study as web pages."""
