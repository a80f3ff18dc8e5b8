// A processing block: a processing element (PE) with its two input registers.
//
// Published: a multiply-accumulate takes 5 cycles and accumulates in a 17-bit register; two input registers double-buffer the input.
// Assumed: how the five cycles are spent (four radix-4 Booth digits of the weight, then the accumulation), that the weight is kept
// beside its input, that both are two's complement, that the accumulator wraps, and that a sum starts from a given value.
module pe #(
    parameter ACC_BITS = 17
) (
    input  wire                       clock,
    input  wire                       begin_sum,  // the accumulator becomes `start`; no operation is under way
    input  wire signed [ACC_BITS-1:0] start,
    input  wire                       put,        // x and w go into the spare registers, which are free
    input  wire signed [7:0]          x,
    input  wire signed [7:0]          w,
    output wire                       free,
    output wire                       idle,
    output reg  signed [ACC_BITS-1:0] sum
);
    localparam LAST = 5;

    reg signed [7:0] spare_x, spare_w;  // the second input register
    reg              spare_full = 0;
    reg signed [7:0] working_x;         // the first one
    reg        [8:0] digits;            // of the weight, the lowest three bits are the next
    reg signed [15:0] product;
    reg        [2:0] cycle = 0;         // of the operation under way, from 1; 0: none

    wire take = spare_full && (cycle == 0 || cycle == LAST);
    assign free = !spare_full || take;
    assign idle = !spare_full && cycle == 0;

    reg signed [15:0] multiple;         // of x, by a Booth digit
    wire signed [15:0] wide_x = working_x;
    always @*
        case (digits[2:0])
            3'b001, 3'b010: multiple = wide_x;
            3'b011:         multiple = wide_x <<< 1;
            3'b100:         multiple = -(wide_x <<< 1);
            3'b101, 3'b110: multiple = -wide_x;
            default:        multiple = 0;
        endcase

    always @(posedge clock) begin
        if (put) begin
            spare_x <= x;
            spare_w <= w;
        end
        spare_full <= put || (spare_full && !take);
        if (take) begin
            working_x <= spare_x;
            digits <= {spare_w, 1'b0};
            product <= 0;
            cycle <= 1;
        end else if (cycle == LAST)
            cycle <= 0;
        else if (cycle != 0)
            cycle <= cycle + 1;
        if (cycle != 0 && cycle != LAST) begin
            product <= product + (multiple <<< (2 * (cycle - 1)));
            digits <= digits >> 2;
        end
        if (begin_sum)
            sum <= start;
        else if (cycle == LAST)
            sum <= sum + product;
    end
endmodule
