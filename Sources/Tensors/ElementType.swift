/// How the numbers of a tensor are stored. Activations are `float32`; weights lie in any of these.
public enum ElementType: Sendable, Hashable {
    case float32, bfloat16, float16

    /// Bytes that `count` elements take.
    public func byteCount(_ count: Int) -> Int {
        switch self {
        case .float32: count * 4
        case .bfloat16, .float16: count * 2
        }
    }
}
