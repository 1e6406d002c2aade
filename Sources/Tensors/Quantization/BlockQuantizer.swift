import CKernels

/// Numbers into the blocks of GGUF.
///
/// q8_0 to q4_0 give the bytes that the Python package gguf gives, but for values that were trained for q4_0. For the others the format leaves the choice of scales
/// open: several are tried, each is fitted by least squares, and the one with the smallest squared error is taken.
package enum BlockQuantizer {
    /// Types that can be written: all of blocks whose scales lie in them, but for those of grids, which need to know how much
    /// each weight matters.
    package static let types = ElementType.allCases.filter { type in
        type.blockLength > 1 && !type.isInteger && ![.iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s].contains(type)
    }

    /// - Parameters:
    ///   - values: whole rows. A block with a number that is none, or infinite, decodes to NaN.
    ///   - type: a float type rounds the values.
    package static func encode(_ values: [Float], as type: ElementType, on threads: ThreadPool) -> [UInt8] {
        let (length, size) = (type.blockLength, type.blockByteCount)
        let blocks = values.count / length
        return [UInt8](unsafeUninitializedCapacity: blocks * size) { bytes, count in
            count = blocks * size
            let out = Output(bytes.baseAddress!)
            values.withUnsafeBufferPointer { values in
                let input = Input(values)
                threads.parallelFor(blocks, grain: max(1, 8192 / length)) { range in
                    encode(
                        input[range.lowerBound * length, range.count * length], as: type,
                        into: out.bytes + range.lowerBound * size)
                }
            }
        }
    }

    /// The same for whole blocks on this thread.
    static func encode(
        _ values: UnsafeBufferPointer<Float>, as type: ElementType, into out: UnsafeMutablePointer<UInt8>
    ) {
        let (length, size) = (type.blockLength, type.blockByteCount)
        for block in 0..<values.count / length {
            let x = UnsafeBufferPointer(rebasing: values[block * length..<(block + 1) * length])
            if length == 1 || x.allSatisfy(\.isFinite) {
                encodeBlock(x, as: type, into: out + block * size)
            } else {
                (out + block * size).update(repeating: 0, count: size)
                for offset in type.scaleOffsets { store(Float16.nan.bitPattern, out + block * size + offset) }
                if let offset = type.exponentOffset { out[block * size + offset] = .max }
            }
        }
    }

    private static func encodeBlock(
        _ x: UnsafeBufferPointer<Float>, as type: ElementType, into out: UnsafeMutablePointer<UInt8>
    ) {
        switch type {
        case .float32: store(x[0].bitPattern, out)
        case .float16: store(Float16(x[0]).bitPattern, out)
        case .bfloat16: store(bfloat16(x[0]), out)
        case .q8_0: q8_0(x, out)
        case .q4_0: q4_0(x, out)
        case .q5_0: centred(x, bits: 5, out)
        case .q4_1: fromLowest(x, bits: 4, out)
        case .q5_1: fromLowest(x, bits: 5, out)
        case .iq4_nl: iq4_nl(x, out)
        case .q2_K: q2_K(x, out)
        case .q3_K: q3_K(x, out)
        case .q4_K: q4_K(x, out)
        case .q5_K: q5_K(x, out)
        case .q6_K: q6_K(x, out)
        case .iq4_xs: iq4_xs(x, out)
        case .mxfp4: mxfp4(x, out)
        case .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s: preconditionFailure("\(type) is none of BlockQuantizer.types")
        case .int2: integers(x, bits: 2, out)
        case .int4: integers(x, bits: 4, out)
        case .int8: integers(x, bits: 8, out)
        }
    }

    // MARK: Blocks of 32

    private static func q8_0(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let scale = largestMagnitude(x) / 127
        let inverse = inverse(scale)
        store(Float16(scale).bitPattern, out + q8_0_scale)
        for index in 0..<x.count {
            out[q8_0_quants + index] = UInt8(bitPattern: Int8((x[index] * inverse).rounded(.toNearestOrAwayFromZero)))
        }
    }

    /// As `centred`, unless the values have a grid of their own.
    private static func q4_0(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        guard let (scale, multiples) = trainedGrid(x) else { return centred(x, bits: 4, out) }
        store(scale.bitPattern, out + q4_0_scale)
        storeNibbles(multiples.map { UInt8($0 + 8) }, apart: 16, out + q4_0_quants)
    }

    /// q4_0, q5_0: the number of largest magnitude becomes the lowest quantum.
    private static func centred(_ x: UnsafeBufferPointer<Float>, bits: Int, _ out: UnsafeMutablePointer<UInt8>) {
        var extreme: Float = 0
        for value in x where abs(value) > abs(extreme) { extreme = value }
        let middle = Float(1 << (bits - 1))
        let scale = extreme / -middle
        let inverse = inverse(scale)
        let isLong = bits == 5
        store(Float16(scale).bitPattern, out + (isLong ? q5_0_scale : q4_0_scale))
        storeQuanta(x, out + (isLong ? q5_0_quants : q4_0_quants), fifthBits: isLong ? out + q5_0_fifth_bits : nil) {
            $0 * inverse + (middle + 0.5)
        }
    }

    /// q4_1, q5_1: quanta count from the smallest number.
    private static func fromLowest(_ x: UnsafeBufferPointer<Float>, bits: Int, _ out: UnsafeMutablePointer<UInt8>) {
        let (low, high) = (x.min()!, x.max()!)
        let scale = (high - low) / Float(1 << bits - 1)
        let inverse = inverse(scale)
        let isLong = bits == 5
        store(Float16(scale).bitPattern, out + (isLong ? q5_1_scale : q4_1_scale))
        store(Float16(low).bitPattern, out + (isLong ? q5_1_minimum : q4_1_minimum))
        storeQuanta(x, out + (isLong ? q5_1_quants : q4_1_quants), fifthBits: isLong ? out + q5_1_fifth_bits : nil) {
            ($0 - low) * inverse + 0.5
        }
    }

    /// 32 quants of 4 bits, i beside i + 16; of 5 bits with the highest bits at `fifthBits`.
    private static func storeQuanta(
        _ x: UnsafeBufferPointer<Float>, _ nibbles: UnsafeMutablePointer<UInt8>,
        fifthBits: UnsafeMutablePointer<UInt8>?, _ quantum: (Float) -> Float
    ) {
        let highest = fifthBits == nil ? 15 : 31
        func quantumOf(_ index: Int) -> Int { min(highest, Int(quantum(x[index]))) }
        var fifth: UInt32 = 0
        for index in 0..<16 {
            let (low, high) = (quantumOf(index), quantumOf(index + 16))
            nibbles[index] = UInt8(low & 15 | (high & 15) << 4)
            fifth |= UInt32(low >> 4) << UInt32(index) | UInt32(high >> 4) << UInt32(index + 16)
        }
        if let fifthBits { store(fifth, fifthBits) }
    }

    /// iq4_nl: the numbers of the nearest of sixteen values.
    private static func iq4_nl(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let scale = Float(Float16(fit_iq4_scale(x.baseAddress!)))
        let inverse = inverse(scale)
        store(Float16(scale).bitPattern, out + iq4_nl_scale)
        storeNibbles(x.map { nearest_iq4($0 * inverse) }, apart: 16, out + iq4_nl_quants)
    }

    /// mxfp4: of the two powers of two between which the largest number lies at 4 to 8 units, or at 2 to 4, the better one.
    /// The largest value is 6 units: with the smaller scale numbers beyond become that, with the larger one all are coarser.
    private static func mxfp4(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let largest = largestMagnitude(x)
        let exponent = largest > 0 ? max(-127, min(126, Int(largest.exponent) - 2)) : -127
        var best = (error: Float.infinity, exponent: exponent, numbers: [UInt8]())
        for exponent in [exponent, min(126, exponent + 1)] {
            let scale = Float(sign: .plus, exponent: exponent - 1, significand: 1)  // values count halves
            let numbers = x.map { nearestMXFP4($0 / scale) }
            let error = zip(numbers, x).reduce(Float(0)) {
                let difference = Float(mxfp4Values[Int($1.0)]) * scale - $1.1
                return $0 + difference * difference
            }
            if error < best.error || best.numbers.isEmpty { best = (error, exponent, numbers) }
        }
        out[mxfp4_exponent] = UInt8(best.exponent + 127)
        storeNibbles(best.numbers, apart: 16, out + mxfp4_quants)
    }

    private static let mxfp4Values = withUnsafeBytes(of: mxfp4_values) { $0.map { Int8(bitPattern: $0) } }

    /// The number whose value is nearest; of two equally near the smaller one.
    private static func nearestMXFP4(_ value: Float) -> UInt8 {
        let bounds: [Float] = [0.5, 1.5, 2.5, 3.5, 5, 7, 10]
        let magnitude = UInt8(bounds.count { abs(value) > $0 })
        return magnitude > 0 && value < 0 ? magnitude + 8 : magnitude
    }

    /// A block of q4_0 from its scale and 32 quants, 0 to 15.
    package static func storeQ4_0(
        scale: Float16, _ out: UnsafeMutablePointer<UInt8>, quant: (_ column: Int) -> UInt8
    ) {
        store(scale.bitPattern, out + q4_0_scale)
        for column in 0..<16 { out[q4_0_quants + column] = quant(column) | quant(column + 16) << 4 }
    }

    /// Numbers of 4 bits, i beside i + `apart`.
    static func storeNibbles(_ numbers: [UInt8], apart: Int, _ out: UnsafeMutablePointer<UInt8>) {
        for index in 0..<numbers.count / 2 {
            let first = index / apart * 2 * apart + index % apart
            out[index] = numbers[first] | numbers[first + apart] << 4
        }
    }

    /// The nearest integers; of `bits` below 8 they count from the lowest.
    private static func integers(_ x: UnsafeBufferPointer<Float>, bits: Int, _ out: UnsafeMutablePointer<UInt8>) {
        let half = Float(1 << (bits - 1))
        let together = 8 / bits
        for index in 0..<x.count / together {
            out[index] = (0..<together).reduce(0) { byte, place in
                let value = max(-half, min(half - 1, x[index * together + place].rounded(.toNearestOrEven)))
                let stored = bits == 8 ? UInt8(bitPattern: Int8(value)) : UInt8(value + half)
                return byte | stored << UInt8(bits * place)
            }
        }
    }

    /// 1 / scale; 0 where there is none, as for numbers that f16 rounds to 0 anyway.
    static func inverse(_ scale: Float) -> Float {
        let inverse = 1 / scale
        return inverse.isFinite ? inverse : 0
    }

    // MARK: Bytes

    private static func largestMagnitude(_ x: UnsafeBufferPointer<Float>) -> Float { x.reduce(0) { max($0, abs($1)) } }

    /// To the nearest; of two equally near to the even one.
    static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    }

    static func store(_ bits: some FixedWidthInteger, _ out: UnsafeMutablePointer<UInt8>) {
        withUnsafeBytes(of: bits.littleEndian) {
            UnsafeMutableRawPointer(out).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
        }
    }

    /// `@unchecked Sendable`: every thread writes its own blocks.
    private struct Output: @unchecked Sendable {
        let bytes: UnsafeMutablePointer<UInt8>
        init(_ bytes: UnsafeMutablePointer<UInt8>) { self.bytes = bytes }
    }

    private struct Input: @unchecked Sendable {
        private let values: UnsafeBufferPointer<Float>
        init(_ values: UnsafeBufferPointer<Float>) { self.values = values }
        subscript(first: Int, count: Int) -> UnsafeBufferPointer<Float> {
            UnsafeBufferPointer(rebasing: values[first..<first + count])
        }
    }
}
