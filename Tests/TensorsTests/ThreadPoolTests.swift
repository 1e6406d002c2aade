import Foundation
import Synchronization
import Testing

@testable import Tensors

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 5], [(0, 1), (1, 1), (7, 3), (64, 64), (1000, 1), (1000, 7)])
    func coversEachIndexOnce(threads: Int, work: (count: Int, grain: Int)) {
        let pool = ThreadPool(count: threads)
        let visits = Mutex([Int](repeating: 0, count: work.count))
        pool.parallelFor(work.count, grain: work.grain) { range in
            visits.withLock { visits in for index in range { visits[index] += 1 } }
            if range.isEmpty || range.count > work.grain || range.lowerBound % work.grain != 0 {
                Issue.record("\(range)")
            }
        }
        #expect(visits.withLock { $0.allSatisfy { $0 == 1 } })
    }

    /// Many operations in a row, each of which must be complete when its call returns.
    @Test func returnsWhenAllPiecesAreDone() {
        let pool = ThreadPool(count: 4)
        for round in 1...20_000 {
            let done = Atomic<Int>(0)
            pool.parallelFor(round % 9) { _ in done.add(1, ordering: .relaxed) }
            if done.load(ordering: .relaxed) != round % 9 { Issue.record("round \(round)") }
        }
    }

    /// Workers that went to sleep between two operations come back: each piece waits until all have begun.
    @Test func wakesSleepingWorkers() {
        let pool = ThreadPool(count: 3)
        for _ in 0..<5 {
            Thread.sleep(forTimeInterval: 0.002)
            let begun = Atomic<Int>(0)
            let deadline = Date(timeIntervalSinceNow: 30)
            pool.parallelFor(3) { _ in
                begun.add(1, ordering: .relaxed)
                while begun.load(ordering: .relaxed) < 3 && Date() < deadline { Thread.sleep(forTimeInterval: 1e-5) }
            }
            #expect(Date() < deadline)
        }
    }

    @Test func servesConcurrentCallers() async {
        let pool = ThreadPool(count: 3)
        await withTaskGroup(of: Int.self) { group in
            for caller in 0..<8 {
                group.addTask {
                    var total = 0
                    for _ in 0..<500 {
                        let sum = Atomic<Int>(0)
                        pool.parallelFor(40, grain: 3) { range in
                            sum.add(range.reduce(0, +) + caller, ordering: .relaxed)
                        }
                        total += sum.load(ordering: .relaxed)
                    }
                    return total - 500 * 14 * caller  // 14 pieces
                }
            }
            for await total in group { #expect(total == 500 * 780) }  // 0 + 1 + … + 39 = 780
        }
    }

    @Test func runsNestedCalls() {
        let pool = ThreadPool(count: 4)
        let sum = Atomic<Int>(0)
        pool.parallelFor(10) { outer in
            pool.parallelFor(10) { inner in sum.add(outer.lowerBound * 10 + inner.lowerBound, ordering: .relaxed) }
        }
        #expect(sum.load(ordering: .relaxed) == 4950)
    }

    /// Workers exit when their pool is released, asleep or not: nothing retains their shared state.
    @Test(arguments: [0, 0.002]) func workersEndWithThePool(pause: Double) {
        var pool: ThreadPool? = ThreadPool(count: 4)
        pool?.parallelFor(20) { _ in }
        weak let crew = pool?.crew
        Thread.sleep(forTimeInterval: pause)
        pool = nil
        let deadline = Date(timeIntervalSinceNow: 30)
        while crew != nil && Date() < deadline { Thread.sleep(forTimeInterval: 1e-4) }
        #expect(crew == nil)
    }
}
