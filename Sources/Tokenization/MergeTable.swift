/// The merges of byte-pair encoding: which two adjacent symbols become which, in which order of preference.
struct MergeTable: Sendable {
    /// What a pair of adjacent symbols becomes.
    struct Merge: Sendable {
        let rank: Int32
        let result: Int32
    }

    /// Whether no merge joins a newline with another character, so that runs of newlines and what lies between them can be
    /// merged each on its own. True of the published vocabulary, not of every one that was trained in its likeness.
    let keepsNewlinesApart: Bool

    private var slots: [Slot]  // open addressing, at most half full

    private struct Slot {
        var pair = UInt64.max  // empty
        var merge = Merge(rank: 0, result: 0)
    }

    /// The ranks are the places in the list. Of equal pairs the last counts, as in `tokenizers`.
    init(_ list: MergeList) {
        keepsNewlinesApart = list.keepsNewlinesApart
        slots = Array(repeating: Slot(), count: tableCapacity(for: list.merges.count))
        for (rank, merge) in list.merges.enumerated() {
            let pair = Self.pair(merge.left, merge.right)
            slots[slot(pair)] = Slot(pair: pair, merge: Merge(rank: Int32(rank), result: merge.result))
        }
    }

    /// The merge of two symbols, if there is one.
    subscript(left: Int32, right: Int32) -> Merge? {
        let pair = Self.pair(left, right)
        let slot = slots[self.slot(pair)]
        return slot.pair == pair ? slot.merge : nil
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The slot that holds the pair, or the empty one where it belongs.
    private func slot(_ pair: UInt64) -> Int {
        let mask = slots.count - 1
        let hash = pair &* 0x9e37_79b9_7f4a_7c15  // Fibonacci hashing
        var slot = Int(truncatingIfNeeded: hash >> 32) & mask
        while slots[slot].pair != pair, slots[slot].pair != .max { slot = (slot + 1) & mask }
        return slot
    }
}

/// Merges by the ids of their pieces, in order of rank.
struct MergeList {
    /// Two adjacent pieces.
    struct Pair {
        let left, right: ArraySlice<UInt8>
    }

    private(set) var merges: [(left: Int32, right: Int32, result: Int32)] = []
    private(set) var keepsNewlinesApart = true

    init(expecting count: Int) { merges.reserveCapacity(count) }

    /// - Returns: the first of `pairs` of which one piece, or what the two join to, is not in the vocabulary. Those before
    ///   it have been added.
    mutating func append(_ pairs: [Pair], of vocabulary: Vocabulary) -> Int? {
        let (lefts, rights) = (vocabulary.ids(pairs.map(\.left)), vocabulary.ids(pairs.map(\.right)))
        for (index, pair) in pairs.enumerated() {
            guard let left = lefts[index], let right = rights[index], let result = result(of: pair, vocabulary) else {
                return index
            }
            if (pair.left.last == UInt8(ascii: "\n")) != (pair.right.first == UInt8(ascii: "\n")) {
                keepsNewlinesApart = false
            }
            merges.append((Int32(left), Int32(right), Int32(result)))
        }
        return nil
    }

    /// Lists name all pairs that make one piece one after another: mostly it is the last result again.
    private func result(of pair: Pair, _ vocabulary: Vocabulary) -> Int? {
        if let last = merges.last, let piece = vocabulary.piece(Int(last.result)),
            piece.count == pair.left.count + pair.right.count, piece.starts(with: pair.left),
            piece.suffix(pair.right.count).elementsEqual(pair.right)
        {
            return Int(last.result)
        }
        return vocabulary.id(pair.left + pair.right)
    }
}
