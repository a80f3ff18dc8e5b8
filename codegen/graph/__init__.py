"""The accelerator graph, what is folded in it, what is read of it, and what no schedule of it can beat."""
