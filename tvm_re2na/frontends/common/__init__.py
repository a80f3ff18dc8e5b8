"""What both front ends do alike: nothing of TVM is imported here."""
