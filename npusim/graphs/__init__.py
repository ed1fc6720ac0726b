"""Models that are graphs of operators, from ONNX or torch.export: what is computed, and what of it a chip runs."""
