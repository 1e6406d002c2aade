import Dispatch
import Foundation
import Synchronization

/// Graceful interruption: the first Ctrl-C, SIGTERM or hangup makes the work stop with its results so far. The second
/// ends the program at once.
final class Interruption: Sendable {
    private let state = Mutex((isSet: false, next: 0, cancels: [Int: @Sendable () -> Void]()))

    /// Installs the signal handlers.
    init() {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            // The default action would be taken in addition to the source's. SIGHUP stays ignored under `nohup`.
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

    /// Sets it after this many seconds, like the first signal.
    func set(after seconds: Double) {
        Task {
            try await Task.sleep(for: .seconds(seconds))
            set()
        }
    }

    /// Runs `body`; calls `cancel` if the interruption is set before or meanwhile.
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
