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
    private(set) var merges: [(left: Int32, right: Int32, result: Int32)] = []
    private(set) var keepsNewlinesApart = true

    init(expecting count: Int) { merges.reserveCapacity(count) }

    /// - Returns: false if one of the pieces or what they join to is not in the vocabulary.
    mutating func append(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>, of vocabulary: Vocabulary) -> Bool {
        guard let leftId = vocabulary.id(left), let rightId = vocabulary.id(right),
            let result = id(joining: left, right, vocabulary)
        else {
            return false
        }
        if (left.last == UInt8(ascii: "\n")) != (right.first == UInt8(ascii: "\n")) { keepsNewlinesApart = false }
        merges.append((Int32(leftId), Int32(rightId), Int32(result)))
        return true
    }

    /// Lists name all pairs that make one piece one after another: mostly it is the last result again.
    private func id(joining left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>, _ vocabulary: Vocabulary) -> Int? {
        if let last = merges.last, let piece = vocabulary.piece(Int(last.result)),
            piece.count == left.count + right.count,
            piece.starts(with: left), piece.suffix(right.count).elementsEqual(right)
        {
            return Int(last.result)
        }
        return vocabulary.id(left + right)
    }
}
