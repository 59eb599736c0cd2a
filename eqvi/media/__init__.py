"""Pictures, videos and clips, and the interpolation of a clip."""
