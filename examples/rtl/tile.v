// A corner of the array, ROWS x COLUMNS processing blocks, between the contents of the SRAM before an instruction and those after it.
//
// Published: convolutions and fully connected layers run on the same array, whose connections are switched (here by `dense`).
// Assumed: all connections. Convolution: a weight for each row (output channel), an input for each column (pixel). Fully connected:
// one input for all, a weight for each PE; PE number row + ROWS * column is an output. Behind the PEs each row keeps the maximum
// of what it is shown, results or bytes of the SRAM, which is how pooling is done, and may add a byte of the SRAM to it.
module tile #(
    parameter ROWS = 8,
    parameter COLUMNS = 8,
    parameter ACC_BITS = 17,
    parameter DATA_BITS = 8,
    parameter HALF_UP = 1,
    parameter SRAM_BYTES = 1572864
) (
    input  wire                              clock,
    input  wire                              dense,
    input  wire                              begin_sum,
    input  wire [ROWS*COLUMNS*ACC_BITS-1:0]  start,
    input  wire                              fetch,           // read operands; the PEs get them a cycle later
    input  wire [31:0]                       weight_address,
    input  wire [COLUMNS*32-1:0]             input_address,
    input  wire [COLUMNS-1:0]                input_there,     // otherwise it is padding
    input  wire [7:0]                        padding,
    output wire                              free,
    output wire                              idle,
    output wire [ROWS*COLUMNS*ACC_BITS-1:0]  sums,
    input  wire [ROWS*8-1:0]                 lsb,
    input  wire [7:0]                        lo,
    input  wire [7:0]                        hi,
    input  wire                              keep,            // show the rows the next value
    input  wire                              first,           // it is the first of a window
    input  wire                              from_memory,     // it is a byte for each row, fetched from input_address of column 0
    input  wire [7:0]                        column,          // otherwise the result of this column
    input  wire [31:0]                       output_address,
    input  wire                              adds,            // add a byte of the SRAM, or zero, to what is kept
    input  wire                              second_there,
    input  wire [31:0]                       second_address,
    input  wire [7:0]                        shift_a,
    input  wire [7:0]                        shift_b,
    input  wire [7:0]                        add_lo,
    input  wire [7:0]                        add_hi,
    output wire [ROWS*8-1:0]                 result,
    output wire [ROWS*8-1:0]                 wanted           // what the SRAM holds there after the instruction; both with `keep`
);
    generate  // in a scope of their own: cocotb looks for names in this one, word by word
        if (1) begin : memory
            reg [7:0] sram[0:SRAM_BYTES-1];
            reg [7:0] expected[0:SRAM_BYTES-1];
            reg [8*1024-1:0] name;
            initial begin
                if ($value$plusargs("before=%s", name)) $readmemh(name, sram);
                if ($value$plusargs("after=%s", name)) $readmemh(name, expected);
            end
        end
    endgenerate

    reg put = 0;  // what was fetched goes into the PEs
    always @(posedge clock) put <= fetch && !from_memory;

    wire [ROWS*COLUMNS-1:0] frees, idles;
    assign free = &frees && !put;
    assign idle = &idles && !put;

    reg  [7:0] inputs[0:COLUMNS-1];
    wire [7:0] outputs[0:ROWS*COLUMNS-1];

    genvar r, c;
    generate
        for (c = 0; c < COLUMNS; c = c + 1) begin : of_column
            always @(posedge clock)
                if (fetch) inputs[c] <= input_there[c] ? memory.sram[input_address[32*c +: 32]] : padding;
            for (r = 0; r < ROWS; r = r + 1) begin : block
                localparam I = r + ROWS * c;
                reg [7:0] weight;
                always @(posedge clock)
                    if (fetch) weight <= memory.sram[weight_address + (dense ? I : r)];
                pe #(.ACC_BITS(ACC_BITS)) element (
                    .clock(clock), .begin_sum(begin_sum), .start(start[ACC_BITS*I +: ACC_BITS]),
                    .put(put), .x(dense ? inputs[0] : inputs[c]), .w(weight),
                    .free(frees[I]), .idle(idles[I]), .sum(sums[ACC_BITS*I +: ACC_BITS])
                );
                cut #(.ACC_BITS(ACC_BITS), .DATA_BITS(DATA_BITS)) leaving (
                    .sum(sums[ACC_BITS*I +: ACC_BITS]), .lsb(lsb[8*r +: 8]), .lo(lo), .hi(hi), .y(outputs[I])
                );
            end
        end
        for (r = 0; r < ROWS; r = r + 1) begin : of_row
            reg  signed [7:0] fetched, kept, second;
            reg         [7:0] there;
            wire signed [7:0] shown = from_memory ? fetched : outputs[r + ROWS * column];
            wire signed [7:0] least = lo, most = hi;
            always @(posedge clock) begin
                if (fetch) fetched <= input_there[0] ? memory.sram[input_address[31:0] + r] : padding;
                if (keep && (first || shown > kept)) kept <= shown;
                if (keep) second <= second_there ? memory.sram[second_address + r] : 8'd0;
                if (keep) there <= memory.expected[output_address + r];
            end
            wire signed [7:0] clamped = !from_memory ? kept : kept < least ? least : kept > most ? most : kept;
            wire signed [7:0] added;
            add #(.DATA_BITS(DATA_BITS), .HALF_UP(HALF_UP)) adder (
                .a(clamped), .b(second), .shift_a(shift_a), .shift_b(shift_b), .lo(add_lo), .hi(add_hi), .y(added)
            );
            assign result[8*r +: 8] = adds ? added : clamped;
            assign wanted[8*r +: 8] = there;
        end
    endgenerate
endmodule
