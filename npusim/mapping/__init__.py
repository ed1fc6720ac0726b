"""Models on chips: plan, placement, operators and what a runtime makes of them."""
