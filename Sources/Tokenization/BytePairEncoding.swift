/// Byte-pair encoding: starting from single scalars, repeatedly merges the adjacent pair of the lowest rank.
///
/// Source: Sennrich, Haddow and Birch (2016); tokenizers, `models/bpe/word.rs`, including its tie break: the leftmost
/// of equal ranks.
struct BytePairEncoding: Sendable {
    let merges: MergeTable

    /// Merges `symbols` in place until no adjacent pair has a merge. O(n log n).
    func merge(_ symbols: inout [Int32]) {
        guard symbols.count > 1 else { return }
        var next = Array(1...Int32(symbols.count))
        var previous = Array(-1..<Int32(symbols.count - 1))
        // The merge that the symbol at an index and its right neighbor allow now. A queue entry with another rank is
        // stale.
        var candidates = [MergeTable.Merge?](repeating: nil, count: symbols.count)
        var queue = MergeQueue()
        func find(_ place: Int32, _ symbols: [Int32]) -> MergeTable.Merge? {
            let right = next[Int(place)]
            return right < symbols.count ? merges[symbols[Int(place)], symbols[Int(right)]] : nil
        }
        for place in 0..<Int32(symbols.count) {
            guard let merge = find(place, symbols) else { continue }
            candidates[Int(place)] = merge
            queue.push(rank: merge.rank, place: place)
        }
        while let (rank, place) = queue.pop() {
            guard let merge = candidates[Int(place)], merge.rank == rank else { continue }
            let right = next[Int(place)]
            symbols[Int(place)] = merge.result
            symbols[Int(right)] = -1
            candidates[Int(right)] = nil
            next[Int(place)] = next[Int(right)]
            if next[Int(place)] < symbols.count { previous[Int(next[Int(place)])] = place }
            for changed in [place, previous[Int(place)]] where changed >= 0 {
                let merge = find(changed, symbols)
                candidates[Int(changed)] = merge
                if let merge { queue.push(rank: merge.rank, place: changed) }
            }
        }
        symbols.removeAll { $0 < 0 }
    }
}

/// A binary min-heap of candidate merges, ordered by rank, then by index.
private struct MergeQueue {
    private var heap: [UInt64] = []  // rank << 32 | place

    mutating func push(rank: Int32, place: Int32) {
        heap.append(UInt64(UInt32(rank)) << 32 | UInt64(UInt32(place)))
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> (rank: Int32, place: Int32)? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var child = 2 * parent + 1
                guard child < heap.count else { break }
                if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
                guard heap[child] < heap[parent] else { break }
                heap.swapAt(child, parent)
                parent = child
            }
        }
        return (Int32(top >> 32), Int32(top & 0xffff_ffff))
    }
}
