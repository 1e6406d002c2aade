import Tensors

/// Keys and values of one sequence: a ring for each sliding layer, growing pages for each full one.
///
/// Keys are stored after norm and RoPE, values after norm, rounded to the cache's element type. Layers that share keys and
/// values hold none.
/// A class, since several sequences go through one forward pass, each with its own cache; a cache belongs to one
/// conversation at a time.
public final class KVCache {
    /// Positions written so far: the next token's position.
    public private(set) var length = 0
    /// The longest chunk that one pass may write.
    public let chunkLength: Int

    private var layers: [LayerCache?]

    /// - Parameters:
    ///   - chunkLength: the longest chunk that one pass will write; rings hold window − 1 + chunkLength positions, so that
    ///     a chunk's last tokens do not overwrite what its first ones still see.
    ///   - elementType: f32, f16, or a block type, which heads that fill no whole blocks replace by f32.
    init(_ plans: [LayerPlan], chunkLength: Int, elementType: ElementType) {
        precondition(chunkLength >= 1, "KVCache: expected chunks of at least one token, found \(chunkLength)")
        self.chunkLength = chunkLength
        layers = plans.map { plan in
            guard plan.ownsKeyValues else { return nil }
            return LayerCache(
                capacity: plan.window.map { $0 - 1 + chunkLength },
                elementType: plan.headDimension.isMultiple(of: elementType.blockLength) ? elementType : .float32)
        }
    }

    /// Writes keys and values, `[tokens, keyValueHeads, headDimension]` each, at the positions from `length` on.
    func write(_ keys: Tensor, _ values: Tensor, layer: Int) {
        precondition(
            keys.shape[0] <= chunkLength, "KVCache: \(keys.shape[0]) tokens at once, chunkLength is \(chunkLength)")
        layers[layer]!.write(keys, values, at: length)
    }

    /// What `layer` still holds: each position in one segment, oldest first.
    func segments(layer: Int) -> [KeyValueSegment] { layers[layer]!.segments }

    /// Ends a pass in which every layer has written `count` positions.
    func advance(by count: Int) { length += count }
}

/// The slots of one layer. With a capacity, position p lies in slot p mod capacity; without, pages are added. Keys of f16
/// lie interleaved, so that slots and positions are in blocks alike.
private struct LayerCache {
    private static let pageLength = 512
    private static let keysTogether = KeyValueSegment.keysTogether

    let capacity: Int?  // a multiple of `keysTogether`
    let elementType: ElementType
    private var pages: [(keys: Tensor, values: Tensor)] = []
    private var end = 0

    /// - Parameter capacity: the least; nil: no end.
    init(capacity: Int?, elementType: ElementType) {
        self.capacity = capacity.map { ($0 + Self.keysTogether - 1) / Self.keysTogether * Self.keysTogether }
        self.elementType = elementType
    }

    private var isInterleaved: Bool { elementType == .float16 }

    private var slotsPerPage: Int { capacity ?? Self.pageLength }

    mutating func write(_ keys: Tensor, _ values: Tensor, at position: Int) {
        let count = keys.shape[0]
        var written = 0
        while written < count {
            let slot = capacity.map { (position + written) % $0 } ?? (position + written)
            let (page, first) = (slot / slotsPerPage, slot % slotsPerPage)
            if page == pages.count {
                pages.append(makePage(keys.shape[1], keys.shape[2], on: keys.device))
            }
            let taken = min(count - written, slotsPerPage - first)
            if isInterleaved {
                pages[page].keys.interleaveKeys(from: first, keys[written..<written + taken])
            } else {
                pages[page].keys.replaceRows(from: first, with: keys[written..<written + taken])
            }
            pages[page].values.replaceRows(from: first, with: values[written..<written + taken])
            written += taken
        }
        end = position + count
    }

    private func makePage(_ heads: Int, _ size: Int, on device: Device) -> (keys: Tensor, values: Tensor) {
        func rows() -> Tensor { Tensor(zeros: [slotsPerPage, heads, size], elementType, on: device) }
        guard isInterleaved else { return (rows(), rows()) }
        let blocks = slotsPerPage / Self.keysTogether
        return (Tensor.interleavedKeys(blocks: blocks, heads: heads, size: size, on: device), rows())
    }

    var segments: [KeyValueSegment] {
        if let capacity, end > capacity {
            let cut = end % capacity  // the oldest position's slot
            let oldest = segment(end - capacity..<end - cut, page: 0, slots: cut..<capacity)
            return cut == 0 ? [oldest] : [oldest, segment(end - cut..<end, page: 0, slots: 0..<cut)]
        }
        return pages.indices.map { index in
            let first = index * slotsPerPage
            let positions = first..<min(first + slotsPerPage, end)
            return segment(positions, page: index, slots: 0..<positions.count)
        }
    }

    private func segment(_ positions: Range<Int>, page: Int, slots: Range<Int>) -> KeyValueSegment {
        let (keys, values) = pages[page]
        guard isInterleaved else {
            return KeyValueSegment(firstPosition: positions.lowerBound, keys: keys[slots], values: values[slots])
        }
        let together = Self.keysTogether
        let blocks = slots.lowerBound / together..<(slots.upperBound + together - 1) / together
        return KeyValueSegment(
            positions: positions, interleavedKeys: keys[blocks],
            values: values[blocks.lowerBound * together..<blocks.upperBound * together])
    }
}
