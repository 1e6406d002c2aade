import Gemma4Kit
import Synchronization

/// Counts answers in progress and waiting, in total and per client, and refuses those beyond a limit. Batch clients
/// leave a quarter of the places to others.
final class Admission: Sendable {
    private let limit, batchLimit: Int
    private let clientLimit: Int
    private let state = Mutex(State())

    private struct State {
        var taken = 0
        var takenByBatch = 0
        /// By client id, without clients that have none.
        var takenByClient: [String: Int] = [:]
        var meanSeconds = 1.0

        mutating func change(_ client: Client?, by count: Int) {
            taken += count
            guard let client else { return }
            if client.priority == .batch { takenByBatch += count }
            let own = takenByClient[client.id, default: 0] + count
            takenByClient[client.id] = own == 0 ? nil : own
        }
    }

    init(places: Int, perClient: Int? = nil) {
        (limit, batchLimit, clientLimit) = (places, max(1, places - places / 4), min(perClient ?? places, places))
    }

    /// The places of one request's answers.
    final class Places: Sendable {
        private let admission: Admission
        private let client: Client?
        private let count: Int
        private let start = ContinuousClock.now
        private let isOver = Atomic(false)

        fileprivate init(_ admission: Admission, _ client: Client?, _ count: Int) {
            (self.admission, self.client, self.count) = (admission, client, count)
        }

        /// Releases the places. `deinit` releases them too.
        func leave() {
            guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            admission.state.withLock { state in
                state.change(client, by: -count)
                state.meanSeconds = 0.75 * state.meanSeconds + 0.25 * seconds
            }
        }

        deinit { leave() }
    }

    var hasRoom: Bool { state.withLock { $0.taken < limit } }
    var taken: Int { state.withLock { $0.taken } }

    /// - Throws: `WireError` with status 429 if too few places are free; 400 if `count` exceeds the limit.
    func enter(_ count: Int, of client: Client? = nil) throws(WireError) -> Places {
        let most = client == nil ? limit : client!.priority == .batch ? min(batchLimit, clientLimit) : clientLimit
        guard count <= most else {
            throw WireError(.badRequest, "\(count) answers: this server gives at most \(most) at once", parameter: "n")
        }
        let refusal: WireError? = state.withLock { state in
            if let client {
                guard state.takenByClient[client.id, default: 0] + count <= clientLimit else {
                    return .busy("as one key may have", retryAfter: state.meanSeconds)
                }
                guard client.priority != .batch || state.takenByBatch + count <= batchLimit else {
                    return .busy("as batch keys may have", retryAfter: state.meanSeconds)
                }
            }
            guard state.taken + count <= limit else { return .busy(retryAfter: state.meanSeconds) }
            state.change(client, by: count)
            return nil
        }
        if let refusal { throw refusal }
        return Places(self, client, count)
    }
}

extension GenerationOptions {
    /// Lowers the priority to that of the client; a request may have a lower one.
    mutating func yield(to client: Client?) { priority = min(priority, client?.priority ?? .interactive) }
}
