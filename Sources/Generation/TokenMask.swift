/// The tokens that may come next: one bit for each id.
package struct TokenMask: Sendable, Hashable {
    private var words: [UInt64]

    /// No token.
    package init(count: Int) { words = Array(repeating: 0, count: (count + 63) / 64) }

    package func contains(_ token: Int) -> Bool {
        let word = token >> 6
        return word < words.count && words[word] & (1 << UInt64(token & 63)) != 0
    }

    package mutating func insert(_ token: Int) { words[token >> 6] |= 1 << UInt64(token & 63) }
}

/// What restricts the tokens of an answer, for example a grammar.
package protocol TokenConstraint: Sendable {
    /// The tokens that may come next; nil: all.
    mutating func allowed() -> TokenMask?
    /// Takes the chosen token.
    mutating func accept(_ token: Int)
}
