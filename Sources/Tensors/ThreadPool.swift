import Dispatch
import Foundation

/// Fixed workers that share the rows of one operation.
public final class ThreadPool: Sendable {
    public let count: Int

    public static var coreCount: Int { ProcessInfo.processInfo.activeProcessorCount }

    public init(count: Int) {
        precondition(count >= 1, "ThreadPool: expected at least one thread, found \(count)")
        self.count = count
    }

    /// Calls `body` on disjoint ranges that cover `0..<count`, at most `grain` long, from all threads; returns when
    /// all are done. How the rows are cut does not depend on the number of threads.
    public func parallelFor(_ count: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
        let pieces = (count + grain - 1) / grain
        guard pieces > 1, self.count > 1 else {
            for piece in 0..<pieces { body(piece * grain..<min(count, (piece + 1) * grain)) }
            return
        }
        withoutActuallyEscaping(body) { body in
            nonisolated(unsafe) let body = body
            DispatchQueue.concurrentPerform(iterations: pieces) { piece in
                body(piece * grain..<min(count, (piece + 1) * grain))
            }
        }
    }
}
