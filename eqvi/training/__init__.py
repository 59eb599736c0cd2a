"""Training: the stages of the paper and ours, from windows of footage or rendered clips to checkpoints."""
