"""Convolutions and dense layers on the vector units of the processor, exact for any data.

TVM compiles the sums of an integer operator to plain loops, and where it has kernels of its own for bytes, they saturate. These
functions multiply pairs of 16 bit and add them in 32: data and weights minus their zero points lie in -255..255, two products
make 130,050 at most, and the sums wrap like any other sum of int32, in whatever order they are taken.
"""
