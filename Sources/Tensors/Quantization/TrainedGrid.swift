/// Weights that quantization-aware training has left on the grid of q4_0, published in bf16: every block of 32 holds multiples,
/// -8 to 7, of a step of its own, which is found again. The usual scale is an eighth of the largest value, which is the
/// step only where a block holds its -8.
extension BlockQuantizer {
    /// How many blocks of 32 values lie on such a grid.
    package static func blocksOnGrid(_ values: [Float]) -> Int {
        values.withUnsafeBufferPointer { values in
            stride(from: 0, to: values.count / 32 * 32, by: 32).count {
                trainedGrid(UnsafeBufferPointer(rebasing: values[$0..<$0 + 32])) != nil
            }
        }
    }

    /// The step of 32 values, and how many steps each is; nil if they lie on no grid, or are all 0.
    ///
    /// Rounding to bf16 moves a value by at most 2⁻⁸ of itself, and the largest too: a ratio to the step that is within n · 2⁻⁷ of
    /// the whole number n counts as n. That 32 values without a grid pass has a chance below 10⁻³⁰.
    static func trainedGrid(_ x: UnsafeBufferPointer<Float>) -> (scale: Float16, multiples: [Int])? {
        var extreme: Float = 0
        for value in x where abs(value) > abs(extreme) { extreme = value }
        guard extreme != 0 else { return nil }
        for largest in stride(from: 8, through: 1, by: -1) {
            // Eight steps are only there below zero: a negative step turns the largest that way.
            let step = largest == 8 ? extreme / -8 : abs(extreme) / Float(largest)
            var multiples: [Int] = []
            for value in x {
                let ratio = value / step
                let multiple = ratio.rounded()
                guard (-8...7).contains(multiple), abs(ratio - multiple) <= abs(multiple) / 128 else { break }
                multiples.append(Int(multiple))
            }
            if multiples.count == x.count { return (scale(x, multiples), multiples) }
        }
        return nil
    }

    /// The f16 scale, of those around the least-squares step, with which the multiples become the values again in bf16.
    private static func scale(_ x: UnsafeBufferPointer<Float>, _ multiples: [Int]) -> Float16 {
        var (products, squares) = (0.0, 0.0)
        for (value, multiple) in zip(x, multiples) {
            products += Double(value) * Double(multiple)
            squares += Double(multiple * multiple)
        }
        let nearest = Float16(products / squares)
        // The least-squares step may err by as much as one value, 2⁻⁸: up to eight units of f16.
        let candidates = (0...16).lazy.map { index in
            Float16(
                bitPattern: UInt16(
                    truncatingIfNeeded: Int(nearest.bitPattern) + (index + 1) / 2 * (index % 2 == 0 ? 1 : -1)))
        }
        return candidates.first { scale in
            zip(x, multiples).allSatisfy { bfloat16($0) == bfloat16(Float($1) * Float(scale)) }
        } ?? nearest
    }
}
