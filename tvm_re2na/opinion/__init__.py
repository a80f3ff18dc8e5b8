"""A second opinion on a quantised network: TVM's integers held against ONNX Runtime, operator by operator."""

from tvm_re2na.opinion.opinion import second_opinion
from tvm_re2na.opinion.verdict import OperatorOpinion, SecondOpinion

__all__ = ["OperatorOpinion", "SecondOpinion", "second_opinion"]
