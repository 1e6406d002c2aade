import CKernels

/// Blocks of 256, whose groups of 16 or 32 have scales of few bits, in steps of a scale of the whole block.
extension BlockQuantizer {
    // MARK: Scale and minimum

    static func q2_K(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let groups = MinimumGroups(x, length: 16, bits: 2, scaleSteps: 15)
        store(groups.shared.scale, out + q2_K_scale)
        store(groups.shared.minimum, out + q2_K_minimum)
        for index in 0..<16 { out[q2_K_scales + index] = groups.scales[index] | groups.minima[index] << 4 }
        storeQuarters(groups.quanta, out + q2_K_quants)
    }

    static func q4_K(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let groups = MinimumGroups(x, length: 32, bits: 4, scaleSteps: 63)
        store(groups.shared.scale, out + q4_K_scale)
        store(groups.shared.minimum, out + q4_K_minimum)
        groups.storeScalesOf6Bits(out + q4_K_scales)
        storeNibbles(groups.quanta, apart: 32, out + q4_K_quants)
    }

    static func q5_K(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let groups = MinimumGroups(x, length: 32, bits: 5, scaleSteps: 63)
        store(groups.shared.scale, out + q5_K_scale)
        store(groups.shared.minimum, out + q5_K_minimum)
        groups.storeScalesOf6Bits(out + q5_K_scales)
        for place in 0..<32 {
            out[q5_K_fifth_bits + place] = (0..<8).reduce(0) { $0 | (groups.quanta[32 * $1 + place] >> 4) << UInt8($1) }
        }
        storeNibbles(groups.quanta.map { $0 & 15 }, apart: 32, out + q5_K_quants)
    }

    /// Groups of which each number is scale · quantum − minimum.
    private struct MinimumGroups {
        let shared: (scale: Float, minimum: Float)
        /// Of each group, in steps of the shared ones.
        let scales, minima: [UInt8]
        let quanta: [UInt8]

        init(_ x: UnsafeBufferPointer<Float>, length: Int, bits: Int, scaleSteps: Float) {
            let highest = Float(1 << bits - 1)
            let starts = stride(from: 0, to: 256, by: length)
            let fits = starts.map { start in
                var fit = (scale: Float(0), minimum: Float(0))
                fit_scale_and_minimum(x.baseAddress! + start, length, highest, &fit.scale, &fit.minimum)
                return fit
            }
            func steps(_ values: [Float]) -> (shared: Float, steps: [UInt8]) {
                let shared = Float(Float16(values.max()! / scaleSteps))
                let inverse = inverse(shared)
                return (shared, values.map { UInt8(min(scaleSteps, ($0 * inverse).rounded())) })
            }
            let (scale, scales) = steps(fits.map(\.scale))
            let (minimum, minima) = steps(fits.map(\.minimum))
            shared = (scale, minimum)
            (self.scales, self.minima) = (scales, minima)
            quanta = (0..<256).map { index in
                let (step, offset) = (scale * Float(scales[index / length]), minimum * Float(minima[index / length]))
                return step > 0 ? UInt8(max(0, min(highest, ((x[index] + offset) / step).rounded()))) : 0
            }
        }

        /// Of eight groups, 12 bytes.
        func storeScalesOf6Bits(_ out: UnsafeMutablePointer<UInt8>) {
            for index in 0..<4 {
                let (s, m) = (scales[index + 4], minima[index + 4])
                out[index] = scales[index] | (s >> 4) << 6
                out[index + 4] = minima[index] | (m >> 4) << 6
                out[index + 8] = s & 15 | m << 4
            }
        }
    }

    // MARK: Signed scale

    static func q3_K(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let groups = SignedGroups(x, bits: 3, scaleBits: 6)
        for place in 0..<32 {
            out[q3_K_third_bits + place] = (0..<8).reduce(0) {
                $0 | (groups.quanta[32 * $1 + place] >> 2) << UInt8($1)
            }
        }
        storeQuarters(groups.quanta.map { $0 & 3 }, out + q3_K_quants)
        let scales = groups.scales.map { UInt8($0 + 32) }
        for index in 0..<8 { out[q3_K_scales + index] = scales[index] & 15 | scales[index + 8] << 4 }
        for index in 0..<4 {
            out[q3_K_scales + 8 + index] = (0..<4).reduce(0) { $0 | (scales[4 * $1 + index] >> 4) << UInt8(2 * $1) }
        }
        store(groups.shared, out + q3_K_scale)
    }

    static func q6_K(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let groups = SignedGroups(x, bits: 6, scaleBits: 8)
        for half in 0..<2 {
            let quanta = groups.quanta[128 * half..<128 * (half + 1)]
            storeNibbles(quanta.map { $0 & 15 }, apart: 64, out + q6_K_low_bits + 64 * half)
            storeQuarters(quanta.map { $0 >> 4 }, out + q6_K_high_bits + 32 * half)
        }
        for index in 0..<16 { out[q6_K_scales + index] = UInt8(bitPattern: groups.scales[index]) }
        store(groups.shared, out + q6_K_scale)
    }

    /// Groups of 16 of which each number is scale · (quantum − half).
    private struct SignedGroups {
        let shared: Float
        /// Of each group, in steps of the shared one.
        let scales: [Int8]
        let quanta: [UInt8]

        init(_ x: UnsafeBufferPointer<Float>, bits: Int, scaleBits: Int) {
            let half = Float(1 << (bits - 1))
            let fits = stride(from: 0, to: 256, by: 16).map { fit_signed_scale(x.baseAddress! + $0, half) }
            let (shared, scales) = signedSteps(fits, bits: scaleBits)
            (self.shared, self.scales) = (shared, scales)
            let inverses = scales.map { inverse(shared * Float($0)) }
            quanta = (0..<256).map { index in
                UInt8(half + max(-half, min(half - 1, (x[index] * inverses[index / 16]).rounded())))
            }
        }
    }

    static func iq4_xs(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let fits = stride(from: 0, to: 256, by: 32).map { fit_iq4_scale(x.baseAddress! + $0) }
        let (shared, scales) = signedSteps(fits, bits: 6)
        store(shared, out + iq4_xs_scale)
        let stored = scales.map { UInt8($0 + 32) }
        store((0..<8).reduce(UInt16(0)) { $0 | UInt16(stored[$1] >> 4) << UInt16(2 * $1) }, out + iq4_xs_high_scales)
        for index in 0..<4 { out[iq4_xs_low_scales + index] = stored[2 * index] & 15 | stored[2 * index + 1] << 4 }
        for group in 0..<8 {
            let inverse = inverse(shared * Float(scales[group]))
            let numbers = (0..<32).map { nearest_iq4(x[32 * group + $0] * inverse) }
            storeNibbles(numbers, apart: 16, out + iq4_xs_quants + 16 * group)
        }
    }

    /// Scales in steps of a shared one: that of largest magnitude becomes the lowest step.
    private static func signedSteps(_ scales: [Float], bits: Int) -> (shared: Float, steps: [Int8]) {
        let half = Float(1 << (bits - 1))
        let extreme = scales.max { abs($0) < abs($1) }!
        let shared = Float(Float16(extreme / -half))
        let inverse = inverse(shared)
        return (shared, scales.map { Int8(max(-half, min(half - 1, ($0 * inverse).rounded()))) })
    }

    // MARK: Bits

    /// A scale or minimum as f16.
    private static func store(_ value: Float, _ out: UnsafeMutablePointer<UInt8>) {
        store(Float16(value).bitPattern, out)
    }

    /// Of each 128 numbers of 2 bits, i beside i + 32, i + 64 and i + 96.
    private static func storeQuarters(_ numbers: [UInt8], _ out: UnsafeMutablePointer<UInt8>) {
        for index in 0..<numbers.count / 4 {
            let first = index / 32 * 128 + index % 32
            out[index] = (0..<4).reduce(0) { $0 | numbers[first + 32 * $1] << UInt8(2 * $1) }
        }
    }
}
