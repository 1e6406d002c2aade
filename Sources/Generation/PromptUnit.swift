import Tokenization

/// The identity of one position of a sequence. Sequences whose first units are equal have the same keys and values
/// there.
///
/// Token ids do not suffice: an image is a run of the same placeholder id, whatever it shows.
package enum PromptUnit: Hashable, Sendable {
    case token(Int)
    /// One soft token of the medium with this content.
    case softToken(ContentHash, index: Int)
}

/// SHA-256 of a medium's encoder input: equal in every process and collision-resistant.
package struct ContentHash: Hashable, Sendable {
    private let words: SIMD8<UInt32>

    /// - Parameters:
    ///   - kind: distinguishes contents with equal values, for example an image from a recording.
    ///   - values: the whole input of the tower.
    package init(kind: String, dimensions: [Int], _ values: [Float]) {
        var hash = SHA256()
        hash.update("\(kind) \(dimensions.map(String.init).joined(separator: " "))\n".utf8)
        values.withUnsafeBytes { hash.update($0) }
        words = SIMD8(hash.digest())
    }

    /// - Parameter hex: a value of `hex`; the result is nil for anything else.
    package init?(hex: String) {
        let digits = Array(hex.utf8)
        guard digits.count == 64, digits.allSatisfy({ 48...57 ~= $0 || 97...102 ~= $0 }) else { return nil }
        words = SIMD8(
            stride(from: 0, to: 64, by: 8).map {
                UInt32(String(decoding: digits[$0..<$0 + 8], as: UTF8.self), radix: 16)!
            })
    }

    /// 64 hexadecimal digits.
    package var hex: String {
        words.indices.map { place in
            let digits = String(words[place], radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }
}

extension [PromptUnit] {
    /// - Parameter media: the hashes of the media, and the positions in `tokens` of their soft tokens.
    package init(_ tokens: [Int], media: [(positions: Range<Int>, hash: ContentHash)]) {
        self = tokens.map(PromptUnit.token)
        for (positions, hash) in media {
            for position in positions { self[position] = .softToken(hash, index: position - positions.lowerBound) }
        }
    }
}

extension Collection where Element == PromptUnit {
    /// The length of the common prefix.
    package func commonPrefixCount(_ other: some Collection<PromptUnit>) -> Int {
        zip(self, other).prefix { $0 == $1 }.count
    }
}
