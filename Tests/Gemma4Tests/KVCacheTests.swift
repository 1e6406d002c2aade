import Foundation
import TestSupport
import Testing

@testable import Gemma4
@testable import Tensors

/// Rings and pages: after every chunk a token sees what was written, rounded to the cache's type, to the last bit.
@Test(arguments: [1, 3, 40], [ElementType.float16, .float32])
func cacheHoldsWhatIsVisible(chunkLength: Int, type: ElementType) throws {
    let device = Device(threadCount: 2)
    let plans = try ModelConfiguration(contentsOf: "\(Goldens.checkpoint("E2B"))/config.json").textConfig.layerPlans
    for plan in [plans.first { $0.window != nil }!, plans.first { $0.window == nil }!] {
        let cache = KVCache(plans, elementType: type)
        let width = plan.numKeyValueHeads * plan.headDimension
        let last = 700  // beyond a page, and several times round the ring
        var numbers = SeededNumbers(seed: 5)
        let (keys, values) = (numbers.floats(last * width), numbers.floats(last * width))
        func rows(_ all: [Float], _ positions: Range<Int>) -> Tensor {
            Tensor(
                Array(all[positions.lowerBound * width..<positions.upperBound * width]),
                [positions.count, plan.numKeyValueHeads, plan.headDimension], on: device)
        }
        func stored(_ all: [Float]) -> Tensor {
            var tensor = Tensor(zeros: [last, plan.numKeyValueHeads, plan.headDimension], type, on: device)
            tensor.replaceRows(from: 0, with: rows(all, 0..<last))
            return tensor
        }
        let everything = KeyValueSegment(firstPosition: 0, keys: stored(keys), values: stored(values))
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

/// A cache of the tiny E2B, and a pass that writes one position whose numbers depend on the seed.
private struct Writer {
    let device = Device(threadCount: 1)
    let plans: [LayerPlan]

    init() throws {
        plans = try ModelConfiguration(contentsOf: "\(Goldens.checkpoint("E2B"))/config.json").textConfig.layerPlans
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

    /// What a token at the end would be given in every layer.
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

/// Taken back and written again, and forked and written on both sides, a cache is what it would be otherwise.
@Test(arguments: [ElementType.float16, .float32], [(length: 40, back: 7), (600, 128), (1100, 1), (700, 700)])
func aCacheGoesBackAndForks(type: ElementType, place: (length: Int, back: Int)) throws {
    let writer = try Writer()
    let (length, kept) = (place.length, place.length - place.back)
    let cache = KVCache(writer.plans, elementType: type)
    writer.write(0..<length, seed: 1, to: cache)
    let before = writer.results(cache)
    let fork = cache.fork()
    try #require(fork.truncate(to: kept))
    writer.write(kept..<length, seed: 2, to: fork)
    #expect(writer.results(cache) == before)

    let fresh = KVCache(writer.plans, elementType: type)
    writer.write(0..<kept, seed: 1, to: fresh)
    writer.write(kept..<length, seed: 2, to: fresh)
    #expect(writer.results(fork) == writer.results(fresh))
    #expect(writer.results(fork) != before)
}

/// A sliding layer that has dropped what would be seen says so, and nothing changes.
@Test func aCacheDoesNotGoBackBeyondItsWindow() throws {
    let writer = try Writer()
    let window = writer.plans.compactMap(\.window).max()!
    let cache = KVCache(writer.plans, elementType: .float32)
    writer.write(0..<2000, seed: 1, to: cache)
    #expect(cache.shortestTruncation > window && cache.shortestTruncation <= 2000 - KVCache.undoablePositions)
    let before = writer.results(cache)
    #expect(!cache.truncate(to: cache.shortestTruncation - 1))
    #expect(cache.length == 2000 && writer.results(cache) == before)
    #expect(cache.truncate(to: cache.shortestTruncation))
}

/// What is foretold before a sequence begins is enough, and not far from what it takes; forks share it.
@Test(arguments: [10, 500, 3000])
func aCacheTakesWhatIsForetold(positions: Int) throws {
    let writer = try Writer()
    let cache = KVCache(writer.plans, elementType: .float16)
    writer.write(0..<positions, seed: 1, to: cache)
    var pages: [ObjectIdentifier: Int] = [:]
    cache.addPages(to: &pages)
    let found = pages.values.reduce(0, +)
    let foretold = KVCache.byteCount(writer.plans, positions: positions, chunkLength: 512, elementType: .float16)
    #expect(found <= foretold && found > 0)
    cache.fork().addPages(to: &pages)
    #expect(pages.values.reduce(0, +) == found)
}

/// A snapshot goes on as its cache does, whatever is written to either afterwards; pages of another cache are not accepted.
@Test(arguments: [ElementType.float16, .float32], [0, 30, 900])
func aCacheIsRestoredFromASnapshot(type: ElementType, length: Int) throws {
    let writer = try Writer()
    let cache = KVCache(writer.plans, elementType: type)
    writer.write(0..<length, seed: 1, to: cache)
    let snapshot = cache.snapshot
    let restored = KVCache(writer.plans, elementType: type)
    restored.restore(snapshot)
    #expect(restored.length == length)
    writer.write(length..<length + 20, seed: 2, to: cache)
    writer.write(length..<length + 20, seed: 3, to: restored)
    let fresh = KVCache(writer.plans, elementType: type)
    writer.write(0..<length, seed: 1, to: fresh)
    writer.write(length..<length + 20, seed: 3, to: fresh)
    #expect(writer.results(restored) == writer.results(fresh))
    #expect(writer.results(restored) != writer.results(cache))

    let pages = snapshot.layers.map { (first: $0.first, count: $0.pages.count) }
    let empty = KVCache(writer.plans, elementType: type)
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
