"""Checkpoints compiled for the CPU by OpenVINO: converted once, kept on disk, run."""
