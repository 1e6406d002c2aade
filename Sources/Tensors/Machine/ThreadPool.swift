import Foundation
import Synchronization

/// A fixed set of worker threads that share the pieces of one operation.
///
/// A hand-off takes about a microsecond while the workers are warm: they spin for `spinNanoseconds` before they
/// sleep, so a running model keeps them awake and an idle service burns nothing. The pool runs one operation at a
/// time; a call that finds it busy, with another caller's operation or the one that the call is part of, runs on its
/// own thread. The workers end with the pool.
package final class ThreadPool: Sendable {
    /// Threads per operation, including the caller's.
    package let count: Int
    let crew = Crew()

    package init(count: Int) {
        precondition(count >= 1, "ThreadPool: expected at least one thread, found \(count)")
        self.count = count
        for _ in 1..<max(1, count) {
            let thread = Thread { [crew] in crew.serve() }
            thread.stackSize = 1 << 20
            thread.start()
        }
    }

    deinit { crew.dismiss() }

    /// Calls `body` on disjoint ranges that cover `0..<count`, at most `grain` long, on all threads; returns when all
    /// are done. The ranges do not depend on the number of threads.
    package func parallelFor(_ count: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
        let pieces = (count + grain - 1) / grain
        func piece(_ index: Int) { body(index * grain..<min(count, (index + 1) * grain)) }
        guard pieces > 1, self.count > 1, crew.run(pieces, piece) else {
            for index in 0..<pieces { piece(index) }
            return
        }
    }
}

/// The state shared by the workers and the caller of one pool.
///
/// `@unchecked Sendable`: `body` and `pieces` are written only by the caller that holds `taken`, before the gate
/// opens and after the last worker has left; everything else is atomic or protected by `sleep`.
final class Crew: @unchecked Sendable {
    private static let spinNanoseconds: UInt64 = 200_000

    /// One word, so that joining and closing cannot race: the operation's number, whether it is open to join, and the
    /// number of workers in it.
    private let gate = Atomic<Int>(0)
    private static let member = 1, open = 1 << 20, operation = 1 << 21
    private static let members = open - 1

    private let taken = Atomic<Bool>(false)
    private let dismissed = Atomic<Bool>(false)
    private let next = Atomic<Int>(0)  // the next piece to be claimed
    private var pieces = 0
    private var body: ((Int) -> Void)?

    private let sleepers = Atomic<Int>(0)
    private let sleep = NSCondition()

    /// Runs every piece with the workers that join in time; false, with nothing run, if another operation is running.
    func run(_ pieces: Int, _ body: (Int) -> Void) -> Bool {
        guard taken.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else {
            return false
        }
        withoutActuallyEscaping(body) { body in
            self.body = body
            self.pieces = pieces
            next.store(0, ordering: .relaxed)
            gate.add(Self.operation | Self.open, ordering: .sequentiallyConsistent)
            wakeSleepers()
            takePieces()
            // Workers that have not joined by now are not waited for.
            gate.subtract(Self.open, ordering: .acquiringAndReleasing)
            wait { self.gate.load(ordering: .acquiring) & Self.members == 0 }
            self.body = nil
        }
        taken.store(false, ordering: .releasing)
        return true
    }

    /// A worker's loop: join each operation once, until dismissed.
    func serve() {
        var last = 0
        while true {
            wait { self.isJoinable(after: last) || self.dismissed.load(ordering: .sequentiallyConsistent) }
            if dismissed.load(ordering: .relaxed) { return }
            let seen = gate.load(ordering: .acquiring)
            guard seen & Self.open != 0,
                gate.compareExchange(expected: seen, desired: seen + Self.member, ordering: .acquiring).exchanged
            else { continue }
            last = seen / Self.operation
            takePieces()
            let left = gate.subtract(Self.member, ordering: .sequentiallyConsistent).newValue
            if left & (Self.members | Self.open) == 0 { wakeSleepers() }
        }
    }

    func dismiss() {
        dismissed.store(true, ordering: .sequentiallyConsistent)
        wakeSleepers()
    }

    private func isJoinable(after last: Int) -> Bool {
        let seen = gate.load(ordering: .sequentiallyConsistent)
        return seen & Self.open != 0 && seen / Self.operation != last
    }

    /// Never inlined, so that the copy of `body` is released before the worker leaves.
    @inline(never)
    private func takePieces() {
        guard let body else { return }
        while true {
            let piece = next.add(1, ordering: .relaxed).oldValue
            if piece >= pieces { return }
            body(piece)
        }
    }

    /// Returns when `ready` is true; spins, then sleeps until `wakeSleepers`.
    private func wait(until ready: () -> Bool) {
        let start = DispatchTime.now().uptimeNanoseconds
        while DispatchTime.now().uptimeNanoseconds - start < Self.spinNanoseconds {
            if ready() { return }
        }
        sleep.lock()
        sleepers.add(1, ordering: .sequentiallyConsistent)
        while !ready() { sleep.wait() }
        sleepers.subtract(1, ordering: .sequentiallyConsistent)
        sleep.unlock()
    }

    private func wakeSleepers() {
        guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
        sleep.lock()
        sleep.broadcast()
        sleep.unlock()
    }
}
