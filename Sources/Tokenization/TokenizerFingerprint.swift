extension Tokenizer {
    /// SHA-256 of everything that determines the ids of a text: for each id the length of its piece in bytes (2³² - 1
    /// for an id without one) and the piece, the two ids of each merge in order of rank, the ids of the special tokens
    /// in order; integers as 32 bits, little-endian.
    ///
    /// Independent of the file format: `tokenizer.json` and GGUF files of the same tokenizer have the same fingerprint.
    ///
    /// - Complexity: half a second for a published vocabulary.
    package var fingerprint: String {
        var bytes: [UInt8] = []
        func append(_ number: UInt32) {
            for shift in stride(from: 0 as UInt32, to: 32, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: number >> shift))
            }
        }
        for id in 0..<vocabularySize {
            let piece = storedBytes(of: id)
            append(piece.map { UInt32($0.count) } ?? .max)
            bytes += piece ?? []
        }
        for merge in mergedPairs {
            append(UInt32(bitPattern: merge.left))
            append(UInt32(bitPattern: merge.right))
        }
        for id in specialTokens.allIds { append(UInt32(id)) }
        return SHA256.hex(bytes)
    }

    /// The `fingerprint` of the tokenizer that every Gemma 4 is published with: 262,144 pieces, 514,906 merges, 24
    /// special tokens.
    package static let publishedFingerprint = "b10ae8219e5e90b01b2fabfdb0d83519b0a4a0658daa7468f15c25b223b5d88e"
}
