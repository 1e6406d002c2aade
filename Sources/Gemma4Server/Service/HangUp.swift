import NIOCore
import Synchronization

/// Detects that the client has disconnected, or closed its end, so that its answer can be cancelled.
final class HangUp: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = Never

    private let state = Mutex(State())

    private struct State {
        var isGone = false
        var next = 0
        var actions: [Int: @Sendable () -> Void] = [:]
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { go() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        go()
        context.fireChannelInactive()
    }

    private func go() {
        let actions = state.withLock { state in
            state.isGone = true
            defer { state.actions = [:] }
            return state.actions
        }
        for action in actions.values { action() }
    }

    var isGone: Bool { state.withLock { $0.isGone } }

    /// Nil without a real connection, as in tests.
    static func of(_ channel: any Channel) async -> HangUp? {
        try? await channel.pipeline.handler(type: HangUp.self).get()
    }

    private func add(_ action: @escaping @Sendable () -> Void) -> Int? {
        state.withLock { state in
            guard !state.isGone else { return nil }
            state.next += 1
            state.actions[state.next] = action
            return state.next
        }
    }

    private func remove(_ key: Int) { state.withLock { $0.actions[key] = nil } }

    /// Runs `body`, whose task is cancelled when the client of `channel` disconnects.
    static func watching<Value: Sendable>(
        _ channel: any Channel, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        guard let hangUp = await of(channel) else { return try await body() }
        let task = Task { try await body() }
        let key = hangUp.add { task.cancel() }
        if key == nil { task.cancel() }
        defer { if let key { hangUp.remove(key) } }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}
