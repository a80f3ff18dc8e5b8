"""Where buffers lie in the SRAM, in space and time, and when they are loaded."""
