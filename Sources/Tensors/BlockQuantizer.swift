import CKernels

/// Numbers into the blocks of GGUF.
///
/// The types of 32 weights give the bytes that the Python package gguf gives. For q4_K and q6_K the format leaves the choice
/// of scales open: several are tried, each is fitted by least squares, and the one with the smallest squared error is taken.
public enum BlockQuantizer {
    /// Types that can be written.
    public static let types: [ElementType] = [.q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .q4_K, .q6_K]

    /// - Parameters:
    ///   - values: whole rows. A block with a number that is none, or infinite, decodes to NaN.
    ///   - type: one of `types`, or a float type, to which values are rounded.
    public static func encode(_ values: [Float], as type: ElementType, on threads: ThreadPool) -> [UInt8] {
        precondition(type.blockLength == 1 || types.contains(type), "encode: \(type)")
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
        case .q4_0: centred(x, bits: 4, out)
        case .q5_0: centred(x, bits: 5, out)
        case .q4_1: fromLowest(x, bits: 4, out)
        case .q5_1: fromLowest(x, bits: 5, out)
        case .q4_K: q4_K(x, out)
        case .q6_K: q6_K(x, out)
        default: preconditionFailure("encode: \(type)")
        }
    }

    // MARK: Blocks of 32

    private static func q8_0(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let scale = largestMagnitude(x) / 127
        let inverse = inverse(scale)
        store(Float16(scale).bitPattern, out)
        for index in 0..<32 {
            out[2 + index] = UInt8(bitPattern: Int8((x[index] * inverse).rounded(.toNearestOrAwayFromZero)))
        }
    }

    /// q4_0, q5_0: the number of largest magnitude becomes the lowest quantum.
    private static func centred(_ x: UnsafeBufferPointer<Float>, bits: Int, _ out: UnsafeMutablePointer<UInt8>) {
        var extreme: Float = 0
        for value in x where abs(value) > abs(extreme) { extreme = value }
        let middle = Float(1 << (bits - 1))
        let scale = extreme / -middle
        let inverse = inverse(scale)
        store(Float16(scale).bitPattern, out)
        storeQuanta(x, bits: bits, out + 2) { $0 * inverse + (middle + 0.5) }
    }

    /// q4_1, q5_1: quanta count from the smallest number.
    private static func fromLowest(_ x: UnsafeBufferPointer<Float>, bits: Int, _ out: UnsafeMutablePointer<UInt8>) {
        let (low, high) = (x.min()!, x.max()!)
        let scale = (high - low) / Float(1 << bits - 1)
        let inverse = inverse(scale)
        store(Float16(scale).bitPattern, out)
        store(Float16(low).bitPattern, out + 2)
        storeQuanta(x, bits: bits, out + 4) { ($0 - low) * inverse + 0.5 }
    }

    /// Fifth bits first, if there are any, then nibbles: number i beside number i + 16.
    private static func storeQuanta(
        _ x: UnsafeBufferPointer<Float>, bits: Int, _ out: UnsafeMutablePointer<UInt8>, _ quantum: (Float) -> Float
    ) {
        let highest = 1 << bits - 1
        func quantumOf(_ index: Int) -> Int { min(highest, Int(quantum(x[index]))) }
        var fifth: UInt32 = 0
        let nibbles = out + (bits == 5 ? 4 : 0)
        for index in 0..<16 {
            let (low, high) = (quantumOf(index), quantumOf(index + 16))
            nibbles[index] = UInt8(low & 15 | (high & 15) << 4)
            fifth |= UInt32(low >> 4) << UInt32(index) | UInt32(high >> 4) << UInt32(index + 16)
        }
        if bits == 5 { store(fifth, out) }
    }

    // MARK: Blocks of 256

    private static func q4_K(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let groups = (0..<8).map { UnsafeBufferPointer(rebasing: x[32 * $0..<32 * $0 + 32]) }
        let fits = groups.map { group in
            var fit = (scale: Float(0), minimum: Float(0))
            fit_scale_and_minimum(group.baseAddress!, &fit.scale, &fit.minimum)
            return fit
        }
        let (scale, inverse) = sharedScale(fits.map(\.scale).max()!, steps: 63)
        let (minimum, inverseMinimum) = sharedScale(fits.map(\.minimum).max()!, steps: 63)
        store(Float16(scale).bitPattern, out)
        store(Float16(minimum).bitPattern, out + 2)
        let packed = out + 4
        packed.update(repeating: 0, count: 12)
        let nibbles = out + 16
        nibbles.update(repeating: 0, count: 128)
        for (index, group) in groups.enumerated() {
            let s = min(63, UInt8((fits[index].scale * inverse).rounded()))
            let m = min(63, UInt8((fits[index].minimum * inverseMinimum).rounded()))
            if index < 4 {
                packed[index] |= s
                packed[index + 4] |= m
            } else {
                packed[index + 4] = s & 15 | (m & 15) << 4
                packed[index - 4] |= (s >> 4) << 6
                packed[index] |= (m >> 4) << 6
            }
            let (step, offset) = (scale * Float(s), minimum * Float(m))
            for (place, value) in group.enumerated() where step > 0 {
                let quantum = UInt8(max(0, min(15, ((value + offset) / step).rounded())))
                nibbles[32 * (index / 2) + place] |= index % 2 == 0 ? quantum : quantum << 4
            }
        }
    }

    private static func q6_K(_ x: UnsafeBufferPointer<Float>, _ out: UnsafeMutablePointer<UInt8>) {
        let groups = (0..<16).map { UnsafeBufferPointer(rebasing: x[16 * $0..<16 * $0 + 16]) }
        let fits = groups.map { fit_signed_scale($0.baseAddress!) }
        let (scale, inverse) = sharedScale(fits.map(abs).max()!, steps: 127)
        store(Float16(scale).bitPattern, out + 208)
        var quanta = [UInt8](repeating: 32, count: 256)
        for (index, group) in groups.enumerated() {
            let s = Int8(max(-127, min(127, (fits[index] * inverse).rounded())))
            out[192 + index] = UInt8(bitPattern: s)
            let step = scale * Float(s)
            for (place, value) in group.enumerated() where step != 0 {
                quanta[16 * index + place] = UInt8(32 + Int(max(-32, min(31, (value / step).rounded()))))
            }
        }
        for half in 0..<2 {
            for place in 0..<32 {
                let q = (0..<4).map { quanta[128 * half + 32 * $0 + place] }
                out[64 * half + place] = q[0] & 15 | (q[2] & 15) << 4
                out[64 * half + 32 + place] = q[1] & 15 | (q[3] & 15) << 4
                out[128 + 32 * half + place] = q[0] >> 4 | (q[1] >> 4) << 2 | (q[2] >> 4) << 4 | (q[3] >> 4) << 6
            }
        }
    }

    /// The scale of scales as it is stored, and its inverse.
    private static func sharedScale(_ largest: Float, steps: Float) -> (scale: Float, inverse: Float) {
        let scale = Float(Float16(largest / steps))
        return (scale, scale > 0 ? 1 / scale : 0)
    }

    /// 1 / scale; 0 where there is none, as for numbers that f16 rounds to 0 anyway.
    private static func inverse(_ scale: Float) -> Float {
        let inverse = 1 / scale
        return inverse.isFinite ? inverse : 0
    }

    // MARK: Bytes

    private static func largestMagnitude(_ x: UnsafeBufferPointer<Float>) -> Float { x.reduce(0) { max($0, abs($1)) } }

    /// To the nearest; of two equally near to the even one.
    private static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    }

    private static func store(_ bits: some FixedWidthInteger, _ out: UnsafeMutablePointer<UInt8>) {
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
