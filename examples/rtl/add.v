// A second operand on the way out. Nothing of it is published: each operand is shifted, rounding as the machine does, and the sum is
// brought to the data width and clamped to lo..hi.
module add #(
    parameter DATA_BITS = 8,
    parameter HALF_UP = 1
) (
    input  wire signed [7:0] a,
    input  wire signed [7:0] b,
    input  wire        [7:0] shift_a,
    input  wire        [7:0] shift_b,
    input  wire signed [7:0] lo,
    input  wire signed [7:0] hi,
    output wire signed [7:0] y
);
    wire signed [31:0] half_a = HALF_UP && shift_a != 0 ? 1 <<< (shift_a - 1) : 0;
    wire signed [31:0] half_b = HALF_UP && shift_b != 0 ? 1 <<< (shift_b - 1) : 0;
    wire signed [31:0] rounded_a = (a + half_a) >>> shift_a;
    wire signed [31:0] rounded_b = (b + half_b) >>> shift_b;
    wire signed [31:0] total = rounded_a + rounded_b;
    cut #(.ACC_BITS(32), .DATA_BITS(DATA_BITS)) leaving (.sum(total), .lsb(8'd0), .lo(lo), .hi(hi), .y(y));
endmodule
