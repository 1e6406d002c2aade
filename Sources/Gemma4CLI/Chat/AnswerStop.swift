import Dispatch
import Foundation
import Synchronization

/// Makes Ctrl-C cancel the current action of an interactive session instead of the program.
final class AnswerStop: Sendable {
    private let state = Mutex((isSet: false, cancel: (@Sendable () -> Void)?.none))

    /// Installs the handler. Ignores the signal between actions.
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

    /// - Parameter cancel: cancels `body`.
    /// - Returns: the result of `body`, and whether it was cancelled.
    func during<Result>(
        _ cancel: @escaping @Sendable () -> Void, _ body: () async throws -> Result
    ) async rethrows -> (Result, isStopped: Bool) {
        state.withLock { $0 = (false, cancel) }
        defer { state.withLock { $0.cancel = nil } }
        let result = try await body()
        return (result, state.withLock { $0.isSet })
    }
}
