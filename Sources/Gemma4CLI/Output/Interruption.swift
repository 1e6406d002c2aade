import Dispatch
import Foundation
import Synchronization

/// The wish of the user that work end early with what there is: the first Ctrl-C or SIGTERM, or a terminal that goes away.
/// The second ends the program at once.
final class Interruption: Sendable {
    private let state = Mutex((isSet: false, next: 0, cancels: [Int: @Sendable () -> Void]()))

    /// Listens to the signals from now on.
    init() {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            // Its own action would be taken beside the source's. One that is ignored stays so, as `nohup` asks.
            let before = signal(number, SIG_IGN)
            if number == SIGHUP, unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
                continue
            }
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { [self] in
                defer { withExtendedLifetime(source) {} }  // the source lives as long as its handler
                guard isSet else { return set() }
                Drafts.unlinkAll()
                _exit(number == SIGINT ? ExitStatus.interrupted.rawValue : ExitStatus.stopped.rawValue)
            }
            source.resume()
        }
    }

    var isSet: Bool { state.withLock { $0.isSet } }

    func set() {
        let cancels = state.withLock { state in
            state.isSet = true
            return state.cancels.values
        }
        for cancel in cancels { cancel() }
    }

    /// Sets it after some seconds, as the first signal does.
    func set(after seconds: Double) {
        Task {
            try await Task.sleep(for: .seconds(seconds))
            set()
        }
    }

    /// Runs `body`, and calls `cancel` if it is set meanwhile, or was before.
    func cancelling<Result>(
        _ cancel: @escaping @Sendable () -> Void, during body: () async throws -> Result
    ) async rethrows -> Result {
        let (key, wasSet) = state.withLock { state in
            state.next += 1
            state.cancels[state.next] = cancel
            return (state.next, state.isSet)
        }
        defer { state.withLock { $0.cancels[key] = nil } }
        if wasSet { cancel() }
        return try await body()
    }
}
