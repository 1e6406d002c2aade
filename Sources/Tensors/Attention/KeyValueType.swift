import CKernels

/// How a cache stores keys and values of past tokens.
public enum KeyValueType: Sendable, Hashable, CaseIterable {
    case float32, float16
    /// Integers of 8 bits, 32 of which share a scale: the numbers of GGUF's q8_0, 8.5 bits each.
    case q8_0
    /// Integers of 8 bits in the steps of the checkpoint.
    case int8
    /// Codes of 4 bits for keys and 3 bits for values, with one scale a vector, after a random rotation: 3.5 bits on average.
    case rotated

    /// What stands in for it where heads of `size` elements cannot be stored so: float32.
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

    /// Of the tensors that hold it; those of few bits are blocks of bytes.
    var elementType: ElementType {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .q8_0, .int8, .rotated: .int8
        }
    }
}
