// Every product of two bytes, and cuts of any sum at any LSB, against Verilog's own arithmetic:
//     iverilog -g2012 -o check check_pe.v pe.v cut.v && vvp check
module check_pe;
    localparam ACC_BITS = 17;

    reg clock = 0, begin_sum = 0, put = 0;
    reg signed [ACC_BITS-1:0] start, wanted_sum;
    reg signed [7:0] x, w, lo, hi, wanted;
    reg [7:0] lsb;
    wire free, idle;
    wire signed [ACC_BITS-1:0] sum;
    wire signed [7:0] y;
    pe element (clock, begin_sum, start, put, x, w, free, idle, sum);
    cut leaving (sum, lsb, lo, hi, y);

    always #1 clock = !clock;

    integer i, power, rest, cutted, wrong = 0;
    initial begin
        for (i = 0; i < 65536; i = i + 1) begin
            {x, w} = i;
            start = $random;
            lsb = i % ACC_BITS;
            lo = i % 3 ? -128 : 0;
            hi = i % 5 ? 127 : 31;
            @(negedge clock) begin_sum = 1;
            @(negedge clock) begin_sum = 0; put = 1;
            @(negedge clock) put = 0;
            while (!idle) @(negedge clock);
            wanted_sum = start + x * w;
            power = 1 << lsb;
            rest = ((wanted_sum % power) + power) % power;
            cutted = (wanted_sum - rest) / power;
            if (cutted > hi) cutted = hi;
            if (cutted < lo) cutted = lo;
            wanted = cutted;
            if (sum !== wanted_sum || y !== wanted) begin
                wrong = wrong + 1;
                if (wrong < 9) $display("%0d + %0d * %0d: %0d, expected %0d; cut at %0d: %0d, expected %0d",
                                        start, x, w, sum, wanted_sum, lsb, y, wanted);
            end
        end
        $display("%0d products, %0d wrong", i, wrong);
        $finish;
    end
endmodule
