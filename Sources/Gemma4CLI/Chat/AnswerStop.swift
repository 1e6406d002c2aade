import Dispatch
import Foundation
import Synchronization

/// Ctrl-C while something is done for a person at a terminal: it ends that, not the program.
final class AnswerStop: Sendable {
    private let state = Mutex((isSet: false, cancel: (@Sendable () -> Void)?.none))

    /// Listens from now on. Between two actions the signal is passed over.
    init() {
        signal(SIGINT, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        source.setEventHandler { [self] in
            defer { withExtendedLifetime(source) {} }  // the source lives as long as its handler
            let cancel = state.withLock { state in
                state.isSet = state.cancel != nil
                return state.cancel
            }
            cancel?()
        }
        source.resume()
    }

    /// - Parameter cancel: ends `body` early.
    /// - Returns: what `body` returns, and whether it was to be ended.
    func during<Result>(
        _ cancel: @escaping @Sendable () -> Void, _ body: () async throws -> Result
    ) async rethrows -> (Result, isStopped: Bool) {
        state.withLock { $0 = (false, cancel) }
        defer { state.withLock { $0.cancel = nil } }
        let result = try await body()
        return (result, state.withLock { $0.isSet })
    }
}
