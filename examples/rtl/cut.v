// What leaves a PE.
//
// Published: 8 bits are cut out of the accumulator from a given least significant bit, and ReLU is applied in the same step.
// Assumed: what does not fit saturates, the activation is a clamp to lo..hi (ReLU: lo = 0), and there is no rounding here: one half
// of what is cut off was added to the value that the sum started from.
module cut #(
    parameter ACC_BITS = 17,
    parameter DATA_BITS = 8
) (
    input  wire signed [ACC_BITS-1:0] sum,
    input  wire        [7:0]          lsb,
    input  wire signed [7:0]          lo,
    input  wire signed [7:0]          hi,
    output wire signed [7:0]          y
);
    localparam signed [31:0] MOST = (1 <<< (DATA_BITS - 1)) - 1;
    localparam signed [31:0] LEAST = -(1 <<< (DATA_BITS - 1));

    wire signed [ACC_BITS-1:0] shifted = sum >>> lsb;
    wire signed [31:0] wide = shifted;
    wire signed [7:0] fitting = wide > MOST ? MOST[7:0] : wide < LEAST ? LEAST[7:0] : wide[7:0];
    assign y = fitting < lo ? lo : fitting > hi ? hi : fitting;
endmodule
