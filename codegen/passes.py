"""The names of the compiler's passes, in order, for those who want no more of it."""

PASSES = ("graph", "fold", "units", "plan", "layout", "listing")
