/// What one position of a sequence is. Two sequences whose first units are equal have the same keys and values there.
///
/// Token ids alone would not do: a picture is so many times the same placeholder id, whatever it shows.
package enum PromptUnit: Hashable, Sendable {
    case token(Int)
    /// One soft token of the medium with this content.
    case softToken(ContentHash, index: Int)
}

/// The content of a medium as its tower reads it, in 128 bits.
///
/// SipHash with a key of this process: nobody outside can make two contents collide, and by chance two of 2³² media do
/// with a probability of 2⁻⁶⁵. It means nothing to another process.
package struct ContentHash: Hashable, Sendable {
    private let high, low: Int

    /// - Parameters:
    ///   - kind: tells contents of equal numbers apart, for example a picture from a recording.
    ///   - values: all that the tower is given.
    package init(kind: String, dimensions: [Int], _ values: [Float]) {
        func hash(_ salt: Int) -> Int {
            var hasher = Hasher()
            hasher.combine(salt)
            hasher.combine(kind)
            hasher.combine(dimensions)
            values.withUnsafeBytes { hasher.combine(bytes: $0) }
            return hasher.finalize()
        }
        (high, low) = (hash(0), hash(1))
    }
}

extension Collection where Element == PromptUnit {
    /// How many units at the beginning are equal.
    package func commonPrefixCount(_ other: some Collection<PromptUnit>) -> Int {
        zip(self, other).prefix { $0 == $1 }.count
    }
}
