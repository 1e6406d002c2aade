/// The merges of byte-pair encoding: result and rank of each pair of symbols.
struct MergeTable: Sendable {
    /// The result of merging two adjacent symbols.
    struct Merge: Sendable {
        let rank: Int32
        let result: Int32
    }

    /// Whether no merge joins a newline with another character, so that runs of newlines and the text between them can
    /// be encoded separately. True for the published vocabulary, not for every similar one.
    let keepsNewlinesApart: Bool

    private var slots: [Slot]  // a power of two; open addressing, at most half full

    private struct Slot {
        var pair = UInt64.max  // empty
        var merge = Merge(rank: 0, result: 0)
    }

    /// The rank is the index in the list. The last of equal pairs wins, as in `tokenizers`.
    init(_ list: MergeList) {
        keepsNewlinesApart = list.keepsNewlinesApart
        let least = max(16, 2 * list.merges.count)
        slots = Array(repeating: Slot(), count: 1 << (Int.bitWidth - (least - 1).leadingZeroBitCount))
        for (rank, merge) in list.merges.enumerated() {
            let pair = Self.pair(merge.left, merge.right)
            slots[slot(pair)] = Slot(pair: pair, merge: Merge(rank: Int32(rank), result: merge.result))
        }
    }

    /// The merge of two symbols; nil if there is none.
    subscript(left: Int32, right: Int32) -> Merge? {
        let pair = Self.pair(left, right)
        let slot = slots[self.slot(pair)]
        return slot.pair == pair ? slot.merge : nil
    }

    /// Ids of the two pieces of every merge, in order of rank.
    var pairs: [(left: Int32, right: Int32)] {
        slots.filter { $0.pair != .max }.sorted { $0.merge.rank < $1.merge.rank }.map {
            (Int32(truncatingIfNeeded: $0.pair >> 32), Int32(truncatingIfNeeded: $0.pair))
        }
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The slot that holds the pair, or the empty slot for it.
    private func slot(_ pair: UInt64) -> Int {
        let mask = slots.count - 1
        let hash = pair &* 0x9e37_79b9_7f4a_7c15  // Fibonacci hashing
        var slot = Int(truncatingIfNeeded: hash >> 32) & mask
        while slots[slot].pair != pair, slots[slot].pair != .max { slot = (slot + 1) & mask }
        return slot
    }
}

/// Pairs of pieces in one contiguous buffer: allocating half a million pairs of arrays would dominate the loading time.
struct PiecePairs {
    /// The pieces of all pairs, and of one that is incomplete.
    var bytes: [UInt8] = []
    private var ends: [(left: Int, right: Int)] = []

    var count: Int { ends.count }

    /// The byte ranges of the two pieces.
    subscript(index: Int) -> (left: Range<Int>, right: Range<Int>) {
        let start = index > 0 ? ends[index - 1].right : 0
        return (start..<ends[index].left, ends[index].left..<ends[index].right)
    }

    mutating func endPair(leftEnd: Int) { ends.append((leftEnd, bytes.count)) }

    /// Completes a pair written as "left right": splits it at the first space that is not its first byte.
    ///
    /// - Returns: whether there is such a space.
    mutating func endPairAtSpace() -> Bool {
        let start = ends.last?.right ?? 0
        guard let space = bytes[start...].dropFirst().firstIndex(of: UInt8(ascii: " ")) else { return false }
        bytes.remove(at: space)
        endPair(leftEnd: space)
        return true
    }
}

/// Merges by the ids of their pieces, in order of rank.
struct MergeList {
    private(set) var merges: [(left: Int32, right: Int32, result: Int32)] = []
    private(set) var keepsNewlinesApart = true

    /// Adds the pairs whose pieces and result are in the vocabulary.
    ///
    /// - Returns: the index of the first skipped pair; nil if none was skipped.
    @discardableResult
    mutating func append(_ pairs: PiecePairs, of vocabulary: Vocabulary) -> Int? {
        var unknown: Int?
        merges.reserveCapacity(merges.count + pairs.count)
        var result = -1
        for start in stride(from: 0, to: pairs.count, by: 256) {
            let batch = (start..<min(start + 256, pairs.count)).map { pairs[$0] }
            let ids = vocabulary.ids(of: batch.flatMap { [$0.left, $0.right] }, in: pairs.bytes)
            for (index, pair) in batch.enumerated() {
                result = vocabulary.id(pairs.bytes[pair.left.lowerBound..<pair.right.upperBound], near: result) ?? -1
                guard let left = ids[2 * index], let right = ids[2 * index + 1], result >= 0 else {
                    unknown = unknown ?? start + index
                    continue
                }
                let (last, first) = (pairs.bytes[pair.left].last, pairs.bytes[pair.right].first)
                if (last == UInt8(ascii: "\n")) != (first == UInt8(ascii: "\n")) { keepsNewlinesApart = false }
                merges.append((Int32(left), Int32(right), Int32(result)))
            }
        }
        return unknown
    }
}
