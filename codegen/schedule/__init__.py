"""How units of work share the array and the SRAM: strips, blocks of weights, costs, and the search among them."""
