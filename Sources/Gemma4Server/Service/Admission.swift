import Synchronization

/// Counts the answers that are written or wait, and refuses those beyond a limit.
final class Admission: Sendable {
    private let limit: Int
    private let state = Mutex((taken: 0, meanSeconds: 1.0))

    init(places: Int) { limit = places }

    /// Answers that one request wants.
    final class Places: Sendable {
        private let admission: Admission
        private let count: Int
        private let start = ContinuousClock.now
        private let isOver = Atomic(false)

        fileprivate init(_ admission: Admission, _ count: Int) { (self.admission, self.count) = (admission, count) }

        /// Gives them back. What is forgotten gives them back too.
        func leave() {
            guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            admission.state.withLock { state in
                state.taken -= count
                state.meanSeconds = 0.75 * state.meanSeconds + 0.25 * seconds
            }
        }

        deinit { leave() }
    }

    var hasRoom: Bool { state.withLock { $0.taken < limit } }
    var taken: Int { state.withLock { $0.taken } }

    /// - Throws: `WireError` with status 429 if there are not so many places left; 400 if there are never so many.
    func enter(_ count: Int) throws(WireError) -> Places {
        guard count <= limit else {
            throw WireError(.badRequest, "\(count) answers: this server gives at most \(limit) at once", parameter: "n")
        }
        let wait: Double? = state.withLock { state in
            guard state.taken + count <= limit else { return state.meanSeconds }
            state.taken += count
            return nil
        }
        if let wait { throw .busy(retryAfter: wait) }
        return Places(self, count)
    }
}
