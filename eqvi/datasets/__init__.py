"""REDS_VTSR, rendered clips with exact flow, downloads."""
