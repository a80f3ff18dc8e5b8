"""The accuracy laboratory: what a network loses to width, rounding and accumulators, and in which layer."""

from tvm_re2na.survey.bits import BitsSurvey, survey_bits
from tvm_re2na.survey.carry import CarrySurvey, survey_carry
from tvm_re2na.survey.cases import Workers
from tvm_re2na.survey.rounding import RoundingSurvey, survey_rounding
from tvm_re2na.survey.sensitivity import SensitivitySurvey, survey_sensitivity

__all__ = [
    "BitsSurvey",
    "CarrySurvey",
    "RoundingSurvey",
    "SensitivitySurvey",
    "Workers",
    "survey_bits",
    "survey_carry",
    "survey_rounding",
    "survey_sensitivity",
]
