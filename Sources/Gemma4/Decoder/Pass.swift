import Tensors

/// The rows of one forward pass: the tokens of several sequences, concatenated.
struct Pass {
    /// One sequence's rows.
    struct Part {
        /// Nil for an encoder, whose rows are a whole sequence.
        let cache: KVCache?
        /// The range of its rows in the pass.
        var rows: Range<Int>
        /// The absolute position of each row.
        var positions: [Int]
        /// For each row, the end of the positions of its image or frame; position + 1 for all other tokens.
        var blockEnds: [Int]
    }

    private(set) var parts: [Part]
    private var rotations: [RotaryEmbedding: Rotation]

    init(_ parts: [Part], rotaryEmbeddings: Set<RotaryEmbedding>, on device: Device) {
        self.parts = parts
        let positions = parts.flatMap(\.positions)
        rotations = .init(uniqueKeysWithValues: rotaryEmbeddings.map { ($0, $0.angles(at: positions, on: device)) })
    }

    /// The rotation angles of all rows.
    func rotation(_ embedding: RotaryEmbedding) -> Rotation { rotations[embedding]! }

    /// Keeps only these rows, ascending.
    mutating func narrow(to kept: [Int]) {
        var next = 0
        parts = parts.map { part in
            let mine = kept.filter(part.rows.contains).map { $0 - part.rows.lowerBound }
            defer { next += mine.count }
            return Part(
                cache: part.cache, rows: next..<next + mine.count, positions: mine.map { part.positions[$0] },
                blockEnds: mine.map { part.blockEnds[$0] })
        }
        rotations = rotations.mapValues { $0.gathered(kept) }
    }
}
