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
        let cache = KVCache(plans, chunkLength: chunkLength, elementType: type)
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
