/// The tokens that may come next: one bit per id.
package struct TokenMask: Sendable, Hashable {
    package private(set) var words: [UInt64]

    /// The empty mask.
    package init(count: Int) { words = Array(repeating: 0, count: (count + 63) / 64) }

    package func contains(_ token: Int) -> Bool {
        let word = token >> 6
        return word < words.count && words[word] & (1 << UInt64(token & 63)) != 0
    }

    package mutating func insert(_ token: Int) { words[token >> 6] |= 1 << UInt64(token & 63) }

    package mutating func insertAll(below count: Int) {
        for index in 0..<count / 64 { words[index] = .max }
        if count % 64 > 0 { words[count / 64] = 1 << UInt64(count % 64) - 1 }
    }

    package mutating func remove(_ token: Int) { words[token >> 6] &= ~(1 << UInt64(token & 63)) }

    /// - Precondition: both are for the same vocabulary.
    package mutating func formUnion(_ other: TokenMask) {
        for index in words.indices { words[index] |= other.words[index] }
    }

    /// Calls `body` for the ids that are not in the mask.
    package func forEachOutside(below count: Int, _ body: (Int) -> Void) {
        for (index, word) in words.enumerated() where word != .max {
            for token in index * 64..<min(count, index * 64 + 64) where word & 1 << UInt64(token & 63) == 0 {
                body(token)
            }
        }
        for token in min(count, words.count * 64)..<count { body(token) }
    }

    package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
    package var isEmpty: Bool { words.allSatisfy { $0 == 0 } }
}
