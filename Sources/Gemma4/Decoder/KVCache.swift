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

/// The slots of one layer. With a capacity, position p lies in slot p mod capacity; without, pages are added.
private struct LayerCache {
    private static let pageLength = 512

    let capacity: Int?
    let elementType: ElementType
    private var pages: [(keys: Tensor, values: Tensor)] = []
    private var end = 0

    init(capacity: Int?, elementType: ElementType) { (self.capacity, self.elementType) = (capacity, elementType) }

    private var slotsPerPage: Int { capacity ?? Self.pageLength }

    mutating func write(_ keys: Tensor, _ values: Tensor, at position: Int) {
        let count = keys.shape[0]
        var written = 0
        while written < count {
            let slot = capacity.map { (position + written) % $0 } ?? (position + written)
            let (page, first) = (slot / slotsPerPage, slot % slotsPerPage)
            if page == pages.count {
                let shape = keys.shape.withFirst(slotsPerPage)
                func page() -> Tensor { Tensor(zeros: shape, elementType, on: keys.device) }
                pages.append((page(), page()))
            }
            let taken = min(count - written, slotsPerPage - first)
            pages[page].keys.replaceRows(from: first, with: keys[written..<written + taken])
            pages[page].values.replaceRows(from: first, with: values[written..<written + taken])
            written += taken
        }
        end = position + count
    }

    var segments: [KeyValueSegment] {
        if let capacity, end > capacity {
            let (keys, values) = pages[0]
            let cut = end % capacity  // the oldest position's slot
            let oldest = KeyValueSegment(
                firstPosition: end - capacity, keys: keys[cut..<capacity], values: values[cut..<capacity])
            if cut == 0 { return [oldest] }
            return [oldest, KeyValueSegment(firstPosition: end - cut, keys: keys[0..<cut], values: values[0..<cut])]
        }
        return pages.enumerated().map { index, page in
            let first = index * slotsPerPage
            let count = min(slotsPerPage, end - first)
            return KeyValueSegment(firstPosition: first, keys: page.keys[0..<count], values: page.values[0..<count])
        }
    }
}
