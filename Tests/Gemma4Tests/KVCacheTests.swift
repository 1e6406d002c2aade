import Foundation
import TestSupport
import Testing

@testable import Gemma4
@testable import Tensors

/// Ring buffers and pages: after every chunk a token sees the written values, converted to the cache's type, bit for
/// bit.
@Test(arguments: [1, 3, 40], KeyValueType.allCases)
func cacheHoldsWhatIsVisible(chunkLength: Int, type: KeyValueType) throws {
    let device = Device(threadCount: 2)
    let plans = try layerPlans()
    for plan in [plans.first { $0.window != nil }!, plans.first { $0.window == nil }!] {
        let cache = makeCache(plans, type)
        let width = plan.numKeyValueHeads * plan.headDimension
        let last = 700  // beyond a page; the ring buffer wraps several times
        var numbers = SeededNumbers(seed: 5)
        let (keys, values) = (numbers.floats(last * width), numbers.floats(last * width))
        func rows(_ all: [Float], _ positions: Range<Int>) -> Tensor {
            Tensor(
                Array(all[positions.lowerBound * width..<positions.upperBound * width]),
                [positions.count, plan.numKeyValueHeads, plan.headDimension], on: device)
        }
        var page = KeyValuePage(
            length: 704, heads: plan.numKeyValueHeads, size: plan.headDimension, type, steps: steps, on: device)
        page.write(rows(keys, 0..<last), rows(values, 0..<last), at: 0)
        let everything = page.segment(firstPosition: 0, count: last)
        let queries = Tensor(
            numbers.floats(plan.numAttentionHeads * plan.headDimension),
            [1, plan.numAttentionHeads, plan.headDimension], on: device)
        for first in stride(from: 0, to: last, by: chunkLength) {
            let positions = first..<min(first + chunkLength, last)
            cache.write(rows(keys, positions), rows(values, positions), layer: plan.index)
            cache.advance(by: positions.count)
            let start = plan.window.map { max(0, positions.upperBound - $0) } ?? 0
            let visible = [start..<positions.upperBound]
            let found = queries.attending(to: cache.segments(layer: plan.index), visible: visible)
            #expect(found.toArray() == queries.attending(to: [everything], visible: visible).toArray())
        }
    }
}

private let steps = KeyValueSteps(keys: 1 / 64, values: 1 / 50)

/// Of a tiny model whose heads fit every type.
private func layerPlans() throws -> [LayerPlan] {
    try ModelConfiguration(contentsOf: "\(Goldens.checkpoint("mobile"))/config.json").textConfig.layerPlans
}

private func makeCache(_ plans: [LayerPlan], _ type: KeyValueType) -> KVCache {
    KVCache(plans, type: type, steps: Dictionary(uniqueKeysWithValues: plans.map { ($0.index, steps) }))
}

/// A cache of the same model, and a pass that writes one position with seeded values.
private struct Writer {
    let device = Device(threadCount: 1)
    let plans: [LayerPlan]

    init() throws {
        plans = try layerPlans()
    }

    func write(_ positions: Range<Int>, seed: UInt64, to cache: KVCache) {
        for position in positions {
            for plan in plans where plan.ownsKeyValues {
                var numbers = SeededNumbers(seed: seed &+ UInt64(position * 100 + plan.index))
                let shape: Shape = [1, plan.numKeyValueHeads, plan.headDimension]
                cache.write(
                    Tensor(numbers.floats(shape.count), shape, on: device),
                    Tensor(numbers.floats(shape.count), shape, on: device), layer: plan.index)
            }
            cache.advance(by: 1)
        }
    }

    /// The attention results of a token at the end, for each layer.
    func results(_ cache: KVCache) -> [[Float]] {
        plans.filter(\.ownsKeyValues).map { plan in
            var numbers = SeededNumbers(seed: 77)
            let shape: Shape = [1, plan.numAttentionHeads, plan.headDimension]
            let queries = Tensor(numbers.floats(shape.count), shape, on: device)
            let first = plan.window.map { max(0, cache.length - $0) } ?? 0
            return queries.attending(to: cache.segments(layer: plan.index), visible: [first..<cache.length]).toArray()
        }
    }
}

/// After truncating and rewriting, or forking and writing to both, a cache equals one that was written directly.
@Test(arguments: KeyValueType.allCases, [(length: 40, back: 7), (600, 128), (1100, 1), (700, 700)])
func aCacheGoesBackAndForks(type: KeyValueType, place: (length: Int, back: Int)) throws {
    let writer = try Writer()
    let (length, kept) = (place.length, place.length - place.back)
    let cache = makeCache(writer.plans, type)
    writer.write(0..<length, seed: 1, to: cache)
    let before = writer.results(cache)
    let fork = cache.fork()
    try #require(fork.truncate(to: kept))
    writer.write(kept..<length, seed: 2, to: fork)
    #expect(writer.results(cache) == before)

    let fresh = makeCache(writer.plans, type)
    writer.write(0..<kept, seed: 1, to: fresh)
    writer.write(kept..<length, seed: 2, to: fresh)
    #expect(writer.results(fork) == writer.results(fresh))
    #expect(writer.results(fork) != before)
}

/// A sliding-window layer cannot be truncated to a position whose window was dropped: it reports so, and nothing
/// changes.
@Test func aCacheDoesNotGoBackBeyondItsWindow() throws {
    let writer = try Writer()
    let window = writer.plans.compactMap(\.window).max()!
    let cache = makeCache(writer.plans, .float32)
    writer.write(0..<2000, seed: 1, to: cache)
    #expect(cache.shortestTruncation > window && cache.shortestTruncation <= 2000 - KVCache.undoablePositions)
    let before = writer.results(cache)
    #expect(!cache.truncate(to: cache.shortestTruncation - 1))
    #expect(cache.length == 2000 && writer.results(cache) == before)
    #expect(cache.truncate(to: cache.shortestTruncation))
}

/// The estimate before a sequence begins covers its memory, and is close to it; forks share the memory.
@Test(arguments: [10, 500, 3000], KeyValueType.allCases)
func aCacheTakesWhatIsForetold(positions: Int, type: KeyValueType) throws {
    let writer = try Writer()
    let cache = makeCache(writer.plans, type)
    writer.write(0..<positions, seed: 1, to: cache)
    var pages: [ObjectIdentifier: Int] = [:]
    cache.addPages(to: &pages)
    let found = pages.values.reduce(0, +)
    let foretold = KVCache.byteCount(writer.plans, positions: positions, chunkLength: 512, type: type)
    #expect(found <= foretold && found > 0)
    cache.fork().addPages(to: &pages)
    #expect(pages.values.reduce(0, +) == found)
}

/// A snapshot continues like its cache, whatever is written to either afterwards; pages of another cache are refused.
@Test(arguments: KeyValueType.allCases, [0, 30, 900])
func aCacheIsRestoredFromASnapshot(type: KeyValueType, length: Int) throws {
    let writer = try Writer()
    let cache = makeCache(writer.plans, type)
    writer.write(0..<length, seed: 1, to: cache)
    let snapshot = cache.snapshot
    let restored = makeCache(writer.plans, type)
    restored.restore(snapshot)
    #expect(restored.length == length)
    writer.write(length..<length + 20, seed: 2, to: cache)
    writer.write(length..<length + 20, seed: 3, to: restored)
    let fresh = makeCache(writer.plans, type)
    writer.write(0..<length, seed: 1, to: fresh)
    writer.write(length..<length + 20, seed: 3, to: fresh)
    #expect(writer.results(restored) == writer.results(fresh))
    #expect(writer.results(restored) != writer.results(cache))

    let pages = snapshot.layers.map { (first: $0.first, count: $0.pages.count) }
    let empty = makeCache(writer.plans, type)
    #expect(empty.accepts(pages, length: length) && !empty.accepts(pages, length: length + 600))
    #expect(!empty.accepts(pages.dropLast(), length: length))
    for layer in pages.indices {
        for (first, count) in [(0, 1), (pages[layer].count + 1, 0)] {
            var other = pages
            other[layer] = (other[layer].first + first, other[layer].count + count)
            #expect(!empty.accepts(other, length: length))
        }
    }
}
