import CKernels

/// How a cache stores keys and values of past tokens.
public enum KeyValueType: Sendable, Hashable, CaseIterable {
    case float32, float16
    /// int8 with one scale for 32 elements, as GGUF's q8_0: 8.5 bits an element.
    case q8_0
    /// int8 with the checkpoint's scales.
    case int8
    /// 4-bit keys and 3-bit values after a random rotation, with one scale a vector: 3.5 bits an element on average.
    case rotated

    /// This type, or float32 if heads of `size` elements cannot be stored in it.
    func fitting(size: Int) -> KeyValueType {
        let fits =
            switch self {
            case .float32, .float16: true
            case .int8: size.isMultiple(of: 32)
            case .q8_0: size.isMultiple(of: 32) && size <= Int(CACHE_SIZE)
            case .rotated: size >= 32 && size.nonzeroBitCount == 1 && size <= Int(CACHE_SIZE)
            }
        return fits ? self : .float32
    }

    /// Bytes of the keys and values of `positions` positions, a multiple of 16.
    package func byteCount(positions: Int, heads: Int, size: Int) -> Int {
        let type = fitting(size: size)
        if let layout = KeyValueBlocks(type, heads: heads, size: size) {
            return positions / KeyValueSegment.keysTogether * heads * layout.blockByteCount
        }
        return 2 * type.elementType.byteCount(positions * heads * size)
    }

    /// The type of the tensors that store it; quantized blocks are stored as bytes.
    var elementType: ElementType {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .q8_0, .int8, .rotated: .int8
        }
    }
}
