"""The papers' experiments, by name: each made of the pipeline's parts, its figures set beside those published."""
