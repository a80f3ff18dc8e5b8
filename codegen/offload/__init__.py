"""What Re²Na can take over: the description of an operator, the rules, and the way into the graph."""
