"""ONNX's operators that work element by element: what lies along which axis is nothing to them."""

OF_ONE = frozenset(
    {
        *("Clip", "Relu", "LeakyRelu", "ThresholdedRelu"),
        *("Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Softsign", "Mish", "Gelu", "Elu", "Selu", "Celu"),
        *("Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round"),
        *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan"),
    }
)
# of which one is broadcast to the other
OF_TWO = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu"})
