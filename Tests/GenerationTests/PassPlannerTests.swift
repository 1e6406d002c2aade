import TestSupport
import Testing

@testable import Generation

private let costs = PassPlanner.Costs(decodeSeconds: 0.06, promptTokenSeconds: 0.004)

private func prompt(_ id: Int, _ count: Int) -> PassPlanner.Prompt { .init(id: id, cuts: [1...count]) }

@Test func aRunningAnswerWaitsNoLongerThanTheBound() {
    let planner = PassPlanner()
    let plan = planner.plan(isDecoding: true, prompts: [prompt(1, 4096)], hasEncoderJob: false, step: 0, costs: costs)
    #expect(plan == .init(slices: [.init(id: 1, count: 24)]))  // 0.8 · 2 · 0.06 / 0.004
}

/// Beside an answer each has all of the time in every second step, and the whole of it if the other has nothing to do.
@Test func promptsAndTowersTakeTurns() {
    func plan(_ prompts: [PassPlanner.Prompt], step: Int) -> PassPlanner.Plan {
        PassPlanner().plan(isDecoding: true, prompts: prompts, hasEncoderJob: true, step: step, costs: costs)
    }
    for step in [0, 2, 4] { #expect(plan([prompt(1, 4096)], step: step) == .init(encoderSeconds: 0.096)) }
    for step in [1, 3, 5] { #expect(plan([prompt(1, 4096)], step: step) == .init(slices: [.init(id: 1, count: 24)])) }
    for step in [0, 1] { #expect(plan([], step: step) == .init(encoderSeconds: 0.096)) }
}

@Test func promptsComeInTheOrderOfTheirArrival() {
    let planner = PassPlanner()
    let plan = planner.plan(
        isDecoding: true, prompts: [prompt(7, 10), prompt(3, 12), prompt(9, 40)], hasEncoderJob: false, step: 0,
        costs: costs)
    #expect(plan.slices == [.init(id: 7, count: 10), .init(id: 3, count: 12), .init(id: 9, count: 2)])
}

@Test func whatIsReadWholeIsNotCut() {
    let planner = PassPlanner()
    let image = PassPlanner.Prompt(id: 1, cuts: [1...4, 284...300])
    let running = planner.plan(isDecoding: true, prompts: [image], hasEncoderJob: false, step: 0, costs: costs)
    #expect(running.slices == [.init(id: 1, count: 4)])
    // Nothing precedes the image: it is prefilled although it exceeds the bound, because it would wait forever.
    let next = PassPlanner.Prompt(id: 1, cuts: [280...296])
    #expect(
        planner.plan(isDecoding: true, prompts: [next], hasEncoderJob: false, step: 0, costs: costs).slices
            == [.init(id: 1, count: 280)])
    // Behind another prompt it waits.
    #expect(
        planner.plan(isDecoding: true, prompts: [prompt(2, 5), next], hasEncoderJob: false, step: 0, costs: costs)
            .slices
            == [.init(id: 2, count: 5)])
}

@Test func aPassWithoutAnswersTakesAChunk() {
    let plan = PassPlanner().plan(
        isDecoding: false, prompts: [prompt(1, 300), prompt(2, 4096)], hasEncoderJob: false, step: 0, costs: costs)
    #expect(plan.slices == [.init(id: 1, count: 300), .init(id: 2, count: 212)])
    let towers = PassPlanner().plan(isDecoding: false, prompts: [], hasEncoderJob: true, step: 0, costs: costs)
    #expect(towers == .init(encoderSeconds: 0.25))
}

/// No starvation: every plan respects the bound or takes the minimum, and every prompt is prefilled in the end.
@Test func nobodyStarves() {
    var random = SeededNumbers(seed: 3)
    for _ in 0..<500 {
        let planner = PassPlanner(bound: Double.random(in: 1.1...4, using: &random))
        let costs = PassPlanner.Costs(
            decodeSeconds: .random(in: 0.001...0.5, using: &random),
            promptTokenSeconds: .random(in: 0.0001...0.02, using: &random))
        var left = (0..<Int.random(in: 1...6, using: &random)).map { _ in Int.random(in: 1...2000, using: &random) }
        var steps = 0
        while left.contains(where: { $0 > 0 }) {
            let isDecoding = Bool.random(using: &random)
            let plan = planner.plan(
                isDecoding: isDecoding,
                prompts: left.indices.filter { left[$0] > 0 }.map { prompt($0, left[$0]) }, hasEncoderJob: false,
                step: steps, costs: costs)
            let count = plan.slices.reduce(0) { $0 + $1.count }
            let seconds = Double(count) * costs.promptTokenSeconds
            #expect(count == 1 || !isDecoding || seconds <= (planner.bound - 1) * costs.decodeSeconds * 1.0001)
            #expect(count >= 1 && count <= planner.chunkLength)
            for slice in plan.slices { left[slice.id] -= slice.count }
            #expect(left.allSatisfy { $0 >= 0 })
            steps += 1
            if steps > 20_000 { break }
        }
        #expect(left.allSatisfy { $0 == 0 })
    }
}

@Test(arguments: [
    (GenerationOptions.Priority.interactive, [GenerationOptions.Priority](), 0),
    (.interactive, [.batch, .batch], 0), (.interactive, [.interactive, .batch], 1),
    (.batch, [.interactive, .batch], 2),
    (.batch, [.interactive], 1), (.interactive, [.interactive, .interactive], 2),
])
func theUrgentStandBeforeTheOthers(
    priority: GenerationOptions.Priority, line: [GenerationOptions.Priority], place: Int
) {
    #expect(PassPlanner.place(of: priority, in: line) == place)
}
