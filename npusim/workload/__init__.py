"""What is run: models, number formats, requests and grids."""
