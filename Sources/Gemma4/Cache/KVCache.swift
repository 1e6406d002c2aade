import Tensors

/// Keys and values of one sequence, in pages of positions for each layer that owns them.
///
/// Keys are stored after norm and RoPE, values after norm, converted or quantized to the cache's type. Sliding-window
/// layers drop the pages that have left the window, except the last `undoablePositions` positions, which can be
/// truncated. A fork shares pages until either side writes to them (copy on write).
///
/// A class, because several sequences share one forward pass, each with its own cache; a cache belongs to one
/// sequence at a time.
package final class KVCache {
    /// Positions that can always be truncated, even on sliding-window layers.
    package static let undoablePositions = 128

    /// Positions written so far: the next token's position.
    package private(set) var length = 0
    private var layers: [LayerCache?]

    /// - Parameters:
    ///   - type: the type of keys and values; layers whose head size is incompatible with it use f32.
    ///   - steps: quantization steps of each layer that owns keys and values, for int8.
    init(_ plans: [LayerPlan], type: KeyValueType, steps: [Int: KeyValueSteps] = [:]) {
        layers = plans.map { $0.ownsKeyValues ? LayerCache($0, type, steps: steps[$0.index]) : nil }
    }

    private init(length: Int, layers: [LayerCache?]) {
        (self.length, self.layers) = (length, layers)
    }

    /// Upper bound of the bytes of a cache of `positions` positions, while a pass adds up to `chunkLength` of them.
    package static func byteCount(
        _ plans: [LayerPlan], positions: Int, chunkLength: Int, type: KeyValueType
    ) -> Int {
        plans.lazy.filter(\.ownsKeyValues).reduce(0) {
            $0 + LayerCache($1, type).byteCount(positions: positions, chunkLength: chunkLength)
        }
    }

    /// Writes keys and values, `[tokens, keyValueHeads, headDimension]` each, at the positions from `length`.
    func write(_ keys: Tensor, _ values: Tensor, layer: Int) {
        layers[layer]!.write(keys, values, at: length)
    }

    /// The keys and values of `layer`, including this pass's: each position in one segment, oldest first.
    func segments(layer: Int) -> [KeyValueSegment] { layers[layer]!.segments }

    /// Ends a pass in which every layer has written `count` positions.
    func advance(by count: Int) {
        length += count
        for index in layers.indices { layers[index]?.dropUnseen(before: length) }
    }

    // MARK: Truncation, forks

    /// The shortest nonzero length to which `truncate` can go: sliding-window layers must still hold the window
    /// before it.
    package var shortestTruncation: Int { layers.lazy.compactMap { $0?.shortestTruncation }.max() ?? 0 }

    /// Removes the positions from `newLength`, as if they had never been written.
    ///
    /// - Returns: false, with nothing changed, if a sliding-window layer has dropped keys that the token at
    ///   `newLength` would attend to.
    package func truncate(to newLength: Int) -> Bool {
        precondition(0...length ~= newLength, "KVCache: truncating \(length) positions to \(newLength)")
        guard newLength == length || newLength == 0 || newLength >= shortestTruncation else { return false }
        for index in layers.indices { layers[index]?.truncate(to: newLength) }
        length = newLength
        return true
    }

    /// A cache with the same content. Both share pages until one writes to them (copy on write).
    package func fork() -> KVCache { KVCache(length: length, layers: layers) }

    /// Adds its pages and their bytes, so that pages shared between caches count once.
    package func addPages(to pages: inout [ObjectIdentifier: Int]) {
        for page in layers.lazy.compactMap({ $0?.pages }).joined() { pages[page.identity] = page.byteCount }
    }

    // MARK: Snapshots

    package var snapshot: CacheSnapshot {
        CacheSnapshot(
            length: length,
            layers: layers.compactMap { $0.map { CacheSnapshot.Layer(first: $0.firstPage, pages: $0.pages) } })
    }

    /// Bytes per page of each layer that owns keys and values, in order.
    package var pageByteCounts: [Int] { layers.compactMap { $0?.pageByteCount } }

    /// A page of zeros of a layer.
    ///
    /// - Parameter owner: its index among the layers that own keys and values.
    package func makePage(owner: Int, on device: Device) -> KeyValuePage {
        layers.lazy.compactMap(\.self).dropFirst(owner).first!.makePage(on: device)
    }

    /// Whether `length` positions can be stored in these pages; one entry for each layer that owns keys and values.
    package func accepts(_ pages: [(first: Int, count: Int)], length: Int) -> Bool {
        let owners = layers.compactMap(\.self)
        return owners.count == pages.count && zip(owners, pages).allSatisfy { $0.accepts($1, length: length) }
    }

    /// Replaces the content by a snapshot of a cache of the same model and type.
    ///
    /// - Precondition: it accepts the snapshot's pages.
    package func restore(_ snapshot: CacheSnapshot) {
        precondition(
            accepts(snapshot.layers.map { ($0.first, $0.pages.count) }, length: snapshot.length),
            "KVCache: a snapshot of \(snapshot.length) positions of another cache")
        var restored = snapshot.layers.makeIterator()
        for index in layers.indices where layers[index] != nil {
            layers[index]!.restore(restored.next()!, end: snapshot.length)
        }
        length = snapshot.length
    }
}

/// The pages of one layer: position p is slot p mod pageLength of page ⌊p / pageLength⌋.
private struct LayerCache {
    private let heads, size, pageLength: Int
    private let window: Int?
    private let type: KeyValueType
    private let steps: KeyValueSteps?
    /// The pages from `firstPage`.
    private(set) var pages: [KeyValuePage] = []
    private(set) var firstPage = 0
    private var end = 0

    init(_ plan: LayerPlan, _ type: KeyValueType, steps: KeyValueSteps? = nil) {
        (heads, size, window) = (plan.numKeyValueHeads, plan.headDimension, plan.window)
        (self.type, self.steps) = (type, steps)
        // Short if pages are dropped as the window slides, long if there may be hundreds.
        pageLength = plan.window == nil ? 512 : 128
    }

    func byteCount(positions: Int, chunkLength: Int) -> Int {
        let kept = window.map { $0 - 1 + KVCache.undoablePositions + chunkLength + pageLength } ?? positions
        let pageCount = (min(kept, positions) + pageLength - 1) / pageLength
        return pageCount * pageByteCount
    }

    mutating func write(_ keys: Tensor, _ values: Tensor, at position: Int) {
        let count = keys.shape[0]
        var written = 0
        while written < count {
            let (page, place) = (position + written).quotientAndRemainder(dividingBy: pageLength)
            let taken = min(count - written, pageLength - place)
            if page - firstPage == pages.count { pages.append(makePage(on: keys.device)) }
            pages[page - firstPage].write(
                keys[written..<written + taken], values[written..<written + taken], at: place)
            written += taken
        }
        end = position + count
    }

    var pageByteCount: Int { type.byteCount(positions: pageLength, heads: heads, size: size) }

    func makePage(on device: Device) -> KeyValuePage {
        KeyValuePage(length: pageLength, heads: heads, size: size, type, steps: steps, on: device)
    }

    var segments: [KeyValueSegment] {
        pages.indices.map { index in
            let first = (firstPage + index) * pageLength
            return pages[index].segment(firstPosition: first, count: min(pageLength, end - first))
        }
    }

    /// Drops the pages that no token from `position - undoablePositions` attends to.
    mutating func dropUnseen(before position: Int) {
        guard let window else { return }
        let seen = max(0, position - KVCache.undoablePositions - window + 1) / pageLength
        guard seen > firstPage else { return }
        pages.removeFirst(min(pages.count, seen - firstPage))
        firstPage = seen
    }

    var shortestTruncation: Int { window.map { firstPage == 0 ? 0 : firstPage * pageLength + $0 - 1 } ?? 0 }

    mutating func truncate(to length: Int) {
        if length == 0 { (pages, firstPage) = ([], 0) }
        end = length
        let needed = (length + pageLength - 1) / pageLength - firstPage
        pages.removeLast(max(0, pages.count - needed))
    }

    func accepts(_ pages: (first: Int, count: Int), length: Int) -> Bool {
        let end = length / pageLength + (length % pageLength == 0 ? 0 : 1)
        let seen = window.map { max(0, length - $0 + 1) } ?? 0
        return 0...end ~= pages.first && pages.count == end - pages.first && pages.first <= seen / pageLength
    }

    mutating func restore(_ layer: CacheSnapshot.Layer, end: Int) {
        (pages, firstPage, self.end) = (layer.pages, layer.first, end)
    }
}
