"""Measured tables, what predicts them, calibration to them and validation against them."""
