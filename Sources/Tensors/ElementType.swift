import CKernels

/// The element type of a tensor. Activations are `float32`; weights can be of any type.
///
/// The quantized types of GGUF follow `float16`: a block is 32 or 256 consecutive weights of a row with shared
/// scales, and a row is a whole number of blocks.
public enum ElementType: Sendable, Hashable, CaseIterable {
    case float32, bfloat16, float16
    case q4_0, q4_1, q5_0, q5_1, q8_0
    case q2_K, q3_K, q4_K, q5_K, q6_K
    case iq4_nl, iq4_xs, mxfp4
    case iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s
    /// Integers of 2, 4 and 8 bits, no types of GGUF: the scale belongs to a row, or to a group within it, and is
    /// stored elsewhere.
    case int2, int4, int8

    /// Elements per block; 1 for unquantized types.
    public var blockLength: Int { layout.length }

    /// Bytes per block; per element for unquantized types.
    public var blockByteCount: Int { layout.byteCount }

    /// Bytes per block in rows packed for the kernels.
    var packedBlockByteCount: Int { block.map(packed_block_bytes) ?? blockByteCount }

    /// Bytes of `count` elements.
    ///
    /// - Precondition: `count` is a multiple of `blockLength`.
    public func byteCount(_ count: Int) -> Int {
        precondition(count % blockLength == 0, "\(self): \(count) elements are no whole number of blocks")
        return count / blockLength * blockByteCount
    }

    /// The alignment in bytes that the kernels require.
    public var alignment: Int { block == nil ? blockByteCount : 1 }

    /// Whether the elements are integers, multiplied by scales that are stored elsewhere.
    public var isInteger: Bool { self == .int2 || self == .int4 || self == .int8 }

    /// The integer type of 2, 4 or 8 bits.
    package static func integers(bits: Int) -> ElementType { bits == 2 ? .int2 : bits == 4 ? .int4 : .int8 }

    /// The block type of the kernels; nil for unquantized types.
    var block: block_type? {
        switch self {
        case .float32, .bfloat16, .float16: nil
        case .q4_0: BLOCK_q4_0
        case .q4_1: BLOCK_q4_1
        case .q5_0: BLOCK_q5_0
        case .q5_1: BLOCK_q5_1
        case .q8_0: BLOCK_q8_0
        case .q2_K: BLOCK_q2_K
        case .q3_K: BLOCK_q3_K
        case .q4_K: BLOCK_q4_K
        case .q5_K: BLOCK_q5_K
        case .q6_K: BLOCK_q6_K
        case .iq4_nl: BLOCK_iq4_nl
        case .iq4_xs: BLOCK_iq4_xs
        case .mxfp4: BLOCK_mxfp4
        case .iq2_xxs: BLOCK_iq2_xxs
        case .iq2_xs: BLOCK_iq2_xs
        case .iq2_s: BLOCK_iq2_s
        case .iq3_xxs: BLOCK_iq3_xxs
        case .iq3_s: BLOCK_iq3_s
        case .int2: BLOCK_i2
        case .int4: BLOCK_i4
        case .int8: BLOCK_i8
        }
    }

    private var layout: (length: Int, byteCount: Int) {
        guard let block else { return (1, self == .float32 ? 4 : 2) }
        let layout = layout_of_block(block)
        return (layout.length, layout.bytes)
    }

    /// Byte offsets of the f16 scales of a block, which with `exponentOffset` are the only part of it that can be NaN or
    /// infinite.
    public var scaleOffsets: [Int] {
        guard let block else { return [] }
        let layout = layout_of_block(block)
        return Array([layout.scale, layout.minimum].prefix(layout.scale_count))
    }

    /// Offset of the exponent of mxfp4's block, which is NaN if it is 255; nil for other types.
    package var exponentOffset: Int? { self == .mxfp4 ? mxfp4_exponent : nil }
}
