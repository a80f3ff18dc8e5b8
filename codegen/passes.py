"""The names of the compiler's stages, in order, for those who want no more of it."""

STAGES = ("graph", "fold", "units", "plan", "layout", "listing")
